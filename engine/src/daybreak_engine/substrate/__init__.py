"""What runs containers: podman, network namespaces, nftables, Pebble."""
