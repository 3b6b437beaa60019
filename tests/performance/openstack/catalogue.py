"""Users of the services, their roles, and the entries of the catalogue, as a plain script makes them.

The administrator's account comes by OS_* of the environment; all users get the same password.
"""

import os
from typing import Any

import openstack

DOMAIN = "default"
ENTRIES = (
    ("glance", "image", "http://127.0.0.1:9292"),
    ("placement", "placement", "http://127.0.0.1:8778"),
    ("nova", "compute", "http://127.0.0.1:8774/v2.1"),
    ("neutron", "network", "http://127.0.0.1:9696"),
    ("cinder", "block-storage", "http://127.0.0.1:8776/v3"),
)

identity: Any = openstack.connect(load_yaml_config=False).identity
roles = {role.name: role for role in identity.roles()}
service_role = roles.get("service") or identity.create_role(name="service")
project = identity.create_project(name="service", domain_id=DOMAIN)
for name, kind, url in ENTRIES:
    user = identity.create_user(name=name, password=os.environ["OS_PASSWORD"], domain_id=DOMAIN)
    for role in (roles["admin"], service_role):
        identity.assign_project_role_to_user(project, user, role)
    service = identity.create_service(name=name, type=kind)
    for interface in ("public", "internal", "admin"):
        identity.create_endpoint(
            service_id=service.id, interface=interface, url=url, region_id="RegionOne"
        )
