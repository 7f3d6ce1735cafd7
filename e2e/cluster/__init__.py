"""A real Kubernetes on this machine, for stories and for `make demo`.

`python -m cluster up` builds the components (once), starts them in namespaces of their own and writes
`.octavo/kubeconfig`; `down` ends one process, and with it everything. How it fits together: README.md here.
"""
