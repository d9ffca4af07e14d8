"""The exit statuses of the command line, as the contract has them; nothing else, so that everybody can import it."""

EXIT_OK = 0  # as asked
EXIT_FAILED = 1  # the operation failed, or was escalated
EXIT_USAGE = 2
EXIT_IDENTITY = 3  # identity or sign-in unresolved, refused
EXIT_BLOCKED = 4  # the deploy was blocked, it did not fail
EXIT_INTERRUPTED = 130
