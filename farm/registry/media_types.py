"""Media types of manifests and indexes, as OCI and as Docker names them."""

from __future__ import annotations

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

INDEXES = (OCI_INDEX, DOCKER_LIST)
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)

# All four, always: registry 2.8 answers 404 for an OCI tag to whoever does not name its type.
ACCEPT = {"Accept": ", ".join((*INDEXES, *MANIFESTS))}
