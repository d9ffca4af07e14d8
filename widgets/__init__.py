"""How one thing looks: a view of a core model, told what to show. No I/O, no engine."""
