"""What failures mean: rows as YAML data, the matcher, the diagnosis. Pure: text in, diagnosis out."""
