#!/bin/sh
# Ends with 0 when all shares are mounted and the message queue is connected.
set -eu
# shellcheck disable=SC1091 # the charm renders it
. /etc/daybreak/settings
[ "$(grep -c ' /var/lib/cinder/mnt/' /proc/mounts)" -ge "$MOUNTS" ]
exec "$BIN/python" -SE /etc/daybreak/connected.py root cinder-volume "$PORT"
