"""A simulated workspace and a stand-in CLI for it. Reached over HTTP and as a subprocess only."""
