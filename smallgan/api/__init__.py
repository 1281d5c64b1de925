"""The functions behind the public Python names (`import smallgan`) and behind the commands: one call a command.

A keyword has the name of the command's flag. Nothing heavy is imported at the top of these files.
"""
