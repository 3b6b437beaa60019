#!/bin/sh
# The yardstick: the same programs from the same images, started by a plain shell script with nothing in between.
#
# MariaDB, memcached and Keystone (keys, schema, bootstrap, uwsgi with TLS), up to the first token issued by
# the same `openstack` client. No gateway, no internal TLS, no checks, no second unit, no restart of anything.
#
# usage: bare.sh            prints a line for each step and the total in seconds, then removes all of it again
#        KEEP=1 bare.sh     leaves it running; `bare.sh remove` ends it
#
# Commands for the containers stand in single quotes: their shells expand them.
# shellcheck disable=SC2016
#
# Needs root and the images (`./daybreak bootstrap` builds them).
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
programs=${PROGRAMS:-$here/.daybreak/venv/bin}
registry=localhost:32000/daybreak
name=db-bare
work=${WORK:-/var/tmp/$name}
password=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')

eval "$("$programs/daybreak-engine" podman-env)"

now() { cut -d' ' -f1 /proc/uptime; }
step() {
    later=$(now)
    echo "$1 $last $later $start" | awk '{ printf "%-22s %6.2f  %6.2f\n", $1, $3 - $2, $3 - $4 }'
    last=$later
}
# run NAME [OPTION...] IMAGE COMMAND...: a container in our network namespace
run() {
    container=$1
    shift
    podman run --name "$name-$container" --pull=never --network "ns:/run/netns/$name" "$@"
}
until_true() {
    tries=0
    until "$@" > /dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || { echo "bare.sh: never true: $*" >&2; exit 1; }
        sleep 0.1
    done
}
inside() { nsenter "--net=/run/netns/$name" "$@"; }
remove() {
    podman rm --force --time 0 "$name-mariadb" "$name-memcached" "$name-keystone" > /dev/null 2>&1 || true
    ip netns del "$name" 2> /dev/null || true
    rm -rf "$work"
}

remove
[ "${1:-}" != remove ] || exit 0
[ -n "${KEEP:-}" ] || trap remove EXIT
start=$(now) last=$start

mkdir -p "$work/mysql" "$work/run" "$work/etc/fernet-keys" "$work/etc/credential-keys"
ip netns add "$name"
ip -n "$name" link set lo up
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=bare \
    -addext subjectAltName=IP:127.0.0.1 -keyout "$work/etc/key.pem" -out "$work/etc/cert.pem" 2> /dev/null
step network+certificate

cat > "$work/run/users.sql" << SQL
CREATE DATABASE keystone CHARACTER SET utf8mb3;
GRANT ALL ON keystone.* TO keystone@'127.0.0.1' IDENTIFIED BY '$password';
SQL
chown -R 42434:42434 "$work/mysql" "$work/run"
run memcached --detach "$registry/memcached:1.6" memcached -u memcached -l 127.0.0.1 > /dev/null
run mariadb --detach --volume "$work/mysql:/var/lib/mysql" --volume "$work/run:/run/mysqld" \
    "$registry/mariadb:11.8" sh -c '
        set -e
        mariadb-install-db --user=mysql --datadir=/var/lib/mysql --skip-test-db \
            --auth-root-authentication-method=socket > /dev/null
        exec mariadbd --user=mysql --datadir=/var/lib/mysql --socket=/run/mysqld/mysqld.sock \
            --bind-address=127.0.0.1 --skip-name-resolve --innodb-flush-log-at-trx-commit=1 \
            --init-file=/run/mysqld/users.sql' > /dev/null
step start-containers

cat > "$work/etc/keystone.conf" << INI
[DEFAULT]
use_stderr = true
[database]
connection = mysql+pymysql://keystone:$password@127.0.0.1/keystone?charset=utf8
[cache]
enabled = true
backend = dogpile.cache.pymemcache
memcache_servers = 127.0.0.1:11211
[fernet_tokens]
key_repository = /etc/keystone/fernet-keys
[credential]
key_repository = /etc/keystone/credential-keys
INI
cat > "$work/etc/uwsgi.ini" << INI
[uwsgi]
module = keystone.wsgi.api:application
https = 127.0.0.1:5000,/etc/keystone/cert.pem,/etc/keystone/key.pem
master = true
processes = 2
threads = 4
enable-threads = true
lazy-apps = true
need-app = true
die-on-term = true
buffer-size = 65535
disable-logging = true
INI
chown -R 42425:42425 "$work/etc"
chmod 700 "$work/etc/fernet-keys" "$work/etc/credential-keys"
until_true podman exec "$name-mariadb" mariadb --socket=/run/mysqld/mysqld.sock -e 'SELECT 1 FROM mysql.user'
step mariadb

# One container for all of Keystone's commands; the password of the administrator comes by the environment.
export OS_BOOTSTRAP_PASSWORD="$password"
run keystone --detach --user keystone --volume "$work/etc:/etc/keystone" --env OS_BOOTSTRAP_PASSWORD \
    "$registry/keystone:2026.1" sh -c '
        set -e
        keystone-manage fernet_setup --keystone-user keystone --keystone-group keystone
        keystone-manage credential_setup --keystone-user keystone --keystone-group keystone
        keystone-manage db_sync
        url=https://127.0.0.1:5000/v3
        keystone-manage bootstrap --bootstrap-region-id RegionOne --bootstrap-admin-url $url \
            --bootstrap-internal-url $url --bootstrap-public-url $url
        exec uwsgi --ini /etc/keystone/uwsgi.ini' > /dev/null
until_true inside curl --silent --fail --noproxy '*' --cacert "$work/etc/cert.pem" --output /dev/null \
    https://127.0.0.1:5000/v3
step keystone

inside env no_proxy='*' OS_AUTH_URL=https://127.0.0.1:5000/v3 OS_CACERT="$work/etc/cert.pem" OS_USERNAME=admin \
    OS_PASSWORD="$password" OS_PROJECT_NAME=admin OS_USER_DOMAIN_NAME=Default \
    OS_PROJECT_DOMAIN_NAME=Default OS_REGION_NAME=RegionOne \
    "$programs/openstack" token issue -f value -c expires > /dev/null
step first-token
echo "$start $last" | awk '{ printf "total %.2f\n", $2 - $1 }'
