"""The small part of the Kubernetes API that charms ask for, over TLS, as in any cluster."""
