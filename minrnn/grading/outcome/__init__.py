"""What a grade is: its codes, its native schema, its plain text. Reports project it."""
