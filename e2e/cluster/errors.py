"""What can go wrong and is the user's to mend: each message names the thing and the remedy."""


class ClusterError(Exception):
    """The cluster cannot be built, started or ended."""


class MissingPrerequisite(ClusterError):
    """The machine lacks something; the message has the command that installs it."""


class ForeignContext(ClusterError):
    """A kubeconfig does not lead to the cluster that this checkout made."""
