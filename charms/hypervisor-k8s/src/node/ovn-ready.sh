#!/bin/sh
# Ends with 0 when OVN's agent is connected to the southbound database.
[ "$(ovn-appctl --timeout=4 -t /run/ovn/ovn-controller.ctl connection-status)" = connected ]
