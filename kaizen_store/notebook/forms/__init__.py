"""The forms of the lessons: each does one step, and shows what happened and the code for it."""
