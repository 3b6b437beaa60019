#!/bin/sh
# Cinder's volume service of this cloud.
set -eu
# shellcheck disable=SC1091 # the charm renders it
. /etc/daybreak/settings
/opt/daybreak/shares.sh /var/lib/cinder/mnt root
if [ -n "$FOLDER" ]; then
    # Volumes are files that anybody may read who comes to their folder: nobody but root does.
    chmod 0700 /var/lib/daybreak/volumes
    install -d "/var/lib/daybreak/volumes/$FOLDER"
fi
exec "$BIN/cinder-volume" --config-file /etc/daybreak/cinder.conf
