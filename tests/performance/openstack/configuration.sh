# shellcheck shell=sh
# The configuration of every service of the yardstick. Sourced by bare.sh beside it, which sets `etc`, `password` and `host`:
# the folder that is written to, the one password of everything, and the name of the one host.
: "${etc:?}" "${password:?}" "${host:?}"
url=http://127.0.0.1:5000/v3
installed=/opt/openstack/etc
# As the charms count them (daybreak_charm/sizing.py): a process for each two processors, at most eight, and eight threads.
workers=$((($(nproc) + 1) / 2))
[ "$workers" -le 8 ] || workers=8

# database NAME [SECTION [USER]]
database() {
    cat << INI
[${2:-database}]
connection = mysql+pymysql://${3:-$1}:$password@127.0.0.1/$1?charset=utf8
INI
}

# client USER SECTION...: the account by which a service asks others
client() {
    user=$1
    shift
    for section; do
        cat << INI
[$section]
auth_type = password
auth_url = $url
username = $user
password = $password
project_name = service
user_domain_name = Default
project_domain_name = Default
region_name = RegionOne
INI
    done
}

# tokens USER: how a service looks whether a token is good
tokens() {
    client "$1" keystone_authtoken
    cat << INI
www_authenticate_uri = $url
memcached_servers = 127.0.0.1:11211
service_token_roles = service
service_token_roles_required = true
INI
}

queue() {
    cat << INI
[oslo_messaging_rabbit]
rabbit_quorum_queue = true
rabbit_transient_quorum_queue = true
rabbit_stream_fanout = true
rabbit_qos_prefetch_count = 1
use_queue_manager = true
[oslo_messaging_notifications]
driver = noop
INI
}
transport="transport_url = rabbit://openstack:$password@127.0.0.1:5672/"

# wsgi FOLDER NAME MODULE PORT [LINE...]: an API under uwsgi, and the file that gives its reply queue a name of its own
wsgi() {
    folder=$1 api=$2 module=$3 port=$4
    shift 4
    printf '[oslo_messaging_rabbit]\nprocessname = %s\n' "$api" > "$etc/$folder/$api-queue.conf"
    cat > "$etc/$folder/$api.ini" << INI
[uwsgi]
module = $module:application
http-socket = 127.0.0.1:$port
master = true
processes = $workers
threads = 8
enable-threads = true
lazy-apps = true
single-interpreter = true
need-app = true
die-on-term = true
buffer-size = 65535
add-header = Connection: close
disable-logging = true
procname-prefix-spaced = $api
INI
    for line; do
        echo "$line" >> "$etc/$folder/$api.ini"
    done
}

# helpers FILE SECTION...: as root, privileged helpers are started without sudo
helpers() {
    file=$1
    shift
    for section; do
        printf '[%s]\nhelper_command = privsep-helper --config-file %s\n' "$section" "$file"
    done
}

configure_infrastructure() {
    mkdir -p "$etc/mysql" "$etc/rabbitmq" "$etc/libvirt"
    for schema in keystone glance placement nova nova_api nova_cell0 neutron cinder; do
        cat << SQL
CREATE DATABASE $schema CHARACTER SET utf8mb3;
GRANT ALL ON $schema.* TO '${schema%%_*}'@'127.0.0.1' IDENTIFIED BY '$password';
SQL
    done > "$etc/mysql/users.sql"
    cat > "$etc/rabbitmq/rabbitmq.conf" << INI
listeners.tcp.1 = 127.0.0.1:5672
default_user = openstack
default_pass = $password
vm_memory_high_watermark.absolute = 1GB
log.console = true
log.file = false
INI
    echo '[].' > "$etc/rabbitmq/enabled_plugins"
    : > "$etc/rabbitmq/empty.conf"
    cat > "$etc/libvirt/libvirtd.conf" << INI
unix_sock_dir = "/run/libvirt"
unix_sock_rw_perms = "0700"
auth_unix_rw = "none"
log_filters = "3:remote 3:rpc 2:qemu"
INI
    # namespaces: volumes that are mounted later must be seen by servers that run already.
    cat > "$etc/libvirt/qemu.conf" << INI
namespaces = []
user = "root"
group = "root"
security_driver = "none"
INI
}

configure_keystone() {
    mkdir -p "$etc/keystone/fernet-keys" "$etc/keystone/credential-keys"
    chmod 700 "$etc/keystone/fernet-keys" "$etc/keystone/credential-keys"
    {
        database keystone
        cat << INI
[cache]
enabled = true
backend = dogpile.cache.pymemcache
memcache_servers = 127.0.0.1:11211
INI
    } > "$etc/keystone/keystone.conf"
    wsgi keystone keystone keystone.wsgi.api 5000
}

configure_apis() {
    mkdir -p "$etc/glance" "$etc/placement"
    {
        cat << INI
[DEFAULT]
enabled_backends = fs:file
$transport
[paste_deploy]
flavor = keystone
config_file = $installed/glance/glance-api-paste.ini
[glance_store]
default_backend = fs
[fs]
filesystem_store_datadir = /var/lib/glance/images
[oslo_concurrency]
lock_path = /var/lib/glance/lock
INI
        database glance
        tokens glance
        queue
    } > "$etc/glance/glance-api.conf"
    wsgi glance glance-api glance.wsgi.api 9292 "chunked-input-limit = 16777216"
    {
        database placement placement_database
        tokens placement
    } > "$etc/placement/placement.conf"
    wsgi placement placement placement.wsgi.api 8778
}

# configure_nova: the services' and the hypervisor's, which are one file as they are one host
configure_nova() {
    mkdir -p "$etc/nova"
    {
        cat << INI
[DEFAULT]
state_path = /var/lib/nova
my_ip = 127.0.0.1
host = $host
$transport
compute_driver = libvirt.LibvirtDriver
periodic_fuzzy_delay = 0
[scheduler]
workers = $workers
discover_hosts_in_cells_interval = 5
[conductor]
workers = $workers
[libvirt]
virt_type = qemu
cpu_mode = none
connection_uri = qemu+unix:///system?socket=/run/libvirt/libvirt-sock
nfs_mount_point_base = /var/lib/nova/mnt
[os_vif_ovs]
ovsdb_connection = unix:/run/openvswitch/db.sock
[vnc]
enabled = true
novncproxy_host = 127.0.0.1
novncproxy_base_url = http://127.0.0.1:6080/vnc_lite.html
[oslo_concurrency]
lock_path = /var/lib/nova/lock
INI
        database nova
        database nova_api api_database nova
        tokens nova
        client nova service_user
        echo 'send_service_user_token = true'
        client nova glance placement cinder neutron
        echo 'service_metadata_proxy = true'
        echo "metadata_proxy_shared_secret = $password"
        queue
        helpers /etc/nova/nova.conf nova_sys_admin privsep_osbrick vif_plug_ovs_privileged
    } > "$etc/nova/nova.conf"
    files="env = OS_NOVA_CONFIG_FILES=$installed/nova/api-paste.ini;/etc/nova/nova.conf"
    wsgi nova nova-api nova.wsgi.osapi_compute 8774 "$files;/etc/nova/nova-api-queue.conf"
    wsgi nova nova-metadata nova.wsgi.metadata 8775 "$files;/etc/nova/nova-metadata-queue.conf"
}

configure_neutron() {
    mkdir -p "$etc/neutron"
    {
        cat << INI
[DEFAULT]
core_plugin = ml2
service_plugins = ovn-router,qos,segments,trunk,port_forwarding
api_workers = $workers
host = $host
dns_domain = openstack.internal.
state_path = /var/lib/neutron
api_paste_config = $installed/neutron/api-paste.ini
notify_nova_on_port_status_changes = true
notify_nova_on_port_data_changes = true
$transport
[ml2]
mechanism_drivers = ovn
type_drivers = local,flat,vlan,geneve
project_network_types = geneve
extension_drivers = port_security,qos,dns_domain_ports
[ml2_type_geneve]
vni_ranges = 1:65536
max_header_size = 38
[ml2_type_flat]
flat_networks = *
[securitygroup]
enable_security_group = true
[oslo_concurrency]
lock_path = /var/lib/neutron/lock
INI
        database neutron
        tokens neutron
        client neutron nova placement
        queue
        ovn
        echo 'ovn_metadata_enabled = true'
    } > "$etc/neutron/neutron.conf"
    wsgi neutron neutron neutron.wsgi.api 9696 \
        "env = OS_NEUTRON_CONFIG_FILES=/etc/neutron/neutron.conf;/etc/neutron/neutron-queue.conf"
    {
        cat << INI
[DEFAULT]
host = $host
state_path = /var/lib/neutron
nova_metadata_host = 127.0.0.1
nova_metadata_port = 8775
metadata_proxy_shared_secret = $password
metadata_workers = 1
[agent]
extensions = metadata
root_helper = env
[ovs]
ovsdb_connection = unix:/run/openvswitch/db.sock
[oslo_concurrency]
lock_path = /var/lib/neutron/lock
INI
        ovn
        helpers /etc/neutron/agent.conf privsep privsep_conntrack privsep_dhcp_release privsep_link privsep_namespace \
            privsep_ovs_vsctl
    } > "$etc/neutron/agent.conf"
}

ovn() {
    cat << INI
[ovn]
ovn_nb_connection = tcp:127.0.0.1:6641
ovn_sb_connection = tcp:127.0.0.1:6642
INI
}

configure_cinder() {
    mkdir -p "$etc/cinder"
    {
        cat << INI
[DEFAULT]
state_path = /var/lib/cinder
my_ip = 127.0.0.1
host = $host
rootwrap_config = $installed/cinder/rootwrap.conf
api_paste_config = $installed/cinder/api-paste.ini
resource_query_filters_file = $installed/cinder/resource_filters.json
enabled_backends = nfs
$transport
[nfs]
volume_driver = cinder.volume.drivers.nfs.NfsDriver
volume_backend_name = nfs
nfs_shares_config = /etc/cinder/nfs_shares
nfs_mount_point_base = /var/lib/cinder/mnt
nfs_snapshot_support = true
nas_secure_file_operations = false
nas_secure_file_permissions = false
[oslo_concurrency]
lock_path = /var/lib/cinder/lock
INI
        database cinder
        tokens cinder
        client cinder service_user
        echo 'send_service_user_token = true'
        client cinder nova
        queue
        helpers /etc/cinder/cinder.conf cinder_sys_admin privsep_osbrick
    } > "$etc/cinder/cinder.conf"
    echo local:/volumes > "$etc/cinder/nfs_shares"
    # Volumes are files of a folder: a stand-in for the NFS client mounts it.
    # shellcheck disable=SC2016 # the stand-in's shell expands it
    printf '#!/bin/sh\n[ "$1" = local:/volumes ] && exec mount --bind /volumes "$2"\nexit 32\n' > "$etc/cinder/mount.nfs"
    chmod 755 "$etc/cinder/mount.nfs"
    words="--config-file /etc/cinder/cinder.conf --config-file /etc/cinder/cinder-queue.conf"
    wsgi cinder cinder cinder.wsgi.api 8776 "pyargv = $words"
}

configure_horizon() {
    mkdir -p "$etc/horizon"
    cat > "$etc/horizon/local_settings.py" << PYTHON
ALLOWED_HOSTS = ["*"]
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
        "LOCATION": "127.0.0.1:11211",
    }
}
COMPRESS_OFFLINE = True
DEBUG = False
OPENSTACK_KEYSTONE_URL = "$url"
OPENSTACK_NEUTRON_NETWORK = {"enable_router": True}
SECRET_KEY = "$password"
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
STATIC_ROOT = "/usr/share/horizon/static"
WEBROOT = "/"
PYTHON
    wsgi horizon horizon openstack_dashboard.wsgi 80 "static-map = /static=/usr/share/horizon/static"
}
