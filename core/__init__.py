"""What is true and what may be done: bundle, CLI, workspace, polling, the loop, the journal. No Textual."""
