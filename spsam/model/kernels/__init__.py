"""What exists only because of a processor or a library's fault.

One file each: what it replaces, when it is taken. A test beside each shows that it gives the same.
"""
