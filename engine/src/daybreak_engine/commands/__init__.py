"""The `juju` command line, answered inside the daemon: one module for each family of commands."""
