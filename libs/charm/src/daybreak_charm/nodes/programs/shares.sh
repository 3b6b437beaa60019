#!/bin/sh
# usage: shares.sh FOLDER USER: prepares a container whose driver mounts shares below FOLDER, for processes of USER.
#
# FOLDER becomes a small file system in memory. The driver takes a share for mounted when its device is not FOLDER's, and a
# folder of the node would have the same. What USER's and root's processes find below is nobody else's business.
set -eu
helper=/usr/sbin/mount.nfs
[ -L $helper ] || [ ! -e $helper ] || mv $helper $helper.kernel
ln -sf /opt/daybreak/mount.nfs $helper
mkdir -p "$1"
mountpoint -q "$1" || mount -t tmpfs -o "size=1m,mode=0700,uid=$(id -u "$2")" shares "$1"
