"""The app: screens, keys, palette, wiring; and the command line."""
