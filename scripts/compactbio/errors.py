"""The error that a user can fix."""


class UserError(Exception):
    """Something the user can fix: the message says what is wrong, in which file or key, and what to do.

    Programs print the message alone and exit with 1 (see `compactbio.logs.run_program`);
    any other exception is a defect of ours and keeps its traceback.
    """
