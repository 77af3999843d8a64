"""What Python code asks for: a trained run, and the verbs of the command line as functions.

`import spsam` names them; everything heavy is imported when it is used.
"""
