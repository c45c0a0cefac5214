//! Google's full resource names, `//<service>/projects/…`, and the shorter ones for the same.

use std::borrow::Cow;

const DOMAIN: &str = ".googleapis.com";

/// Where in a project a kind of resource lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// `zones/z`, `regions/r` or `global`.
    Compute,
    /// `locations/l`.
    Location,
    /// In the project itself.
    Project,
}

use Scope::{Compute, Location, Project};

/// Scope and collections, whose service that is, and Terraform's type.
type Kind = (Scope, &'static str, &'static str, &'static str);

/// Kinds of resources.
const KINDS: &[Kind] = &[
    (Compute, "instances", "compute", "google_compute_instance"),
    (Compute, "disks", "compute", "google_compute_disk"),
    (Compute, "snapshots", "compute", "google_compute_snapshot"),
    (Compute, "images", "compute", "google_compute_image"),
    (Compute, "machineImages", "compute", "google_compute_machine_image"),
    (Compute, "networks", "compute", "google_compute_network"),
    (Compute, "subnetworks", "compute", "google_compute_subnetwork"),
    (Compute, "firewalls", "compute", "google_compute_firewall"),
    (Compute, "addresses", "compute", "google_compute_address"),
    (Compute, "routes", "compute", "google_compute_route"),
    (Compute, "routers", "compute", "google_compute_router"),
    (Compute, "instanceGroups", "compute", "google_compute_instance_group"),
    (Compute, "instanceGroupManagers", "compute", "google_compute_instance_group_manager"),
    (Compute, "instanceTemplates", "compute", "google_compute_instance_template"),
    (Compute, "backendServices", "compute", "google_compute_backend_service"),
    (Compute, "forwardingRules", "compute", "google_compute_forwarding_rule"),
    (Compute, "healthChecks", "compute", "google_compute_health_check"),
    (Compute, "urlMaps", "compute", "google_compute_url_map"),
    (Location, "clusters", "container", "google_container_cluster"),
    (Location, "clusters/nodePools", "container", "google_container_node_pool"),
    (Location, "keyRings", "cloudkms", "google_kms_key_ring"),
    (Location, "keyRings/cryptoKeys", "cloudkms", "google_kms_crypto_key"),
    (Location, "functions", "cloudfunctions", "google_cloudfunctions_function"),
    (Location, "services", "run", "google_cloud_run_service"),
    (Location, "repositories", "artifactregistry", "google_artifact_registry_repository"),
    (Location, "workloadIdentityPools", "iam", "google_iam_workload_identity_pool"),
    (Project, "buckets", "storage", "google_storage_bucket"),
    (Project, "topics", "pubsub", "google_pubsub_topic"),
    (Project, "subscriptions", "pubsub", "google_pubsub_subscription"),
    (Project, "datasets", "bigquery", "google_bigquery_dataset"),
    (Project, "datasets/tables", "bigquery", "google_bigquery_table"),
    (Project, "serviceAccounts", "iam", "google_service_account"),
    (Project, "roles", "iam", "google_project_iam_custom_role"),
    (Project, "secrets", "secretmanager", "google_secret_manager_secret"),
    (Project, "sinks", "logging", "google_logging_project_sink"),
    (Project, "managedZones", "dns", "google_dns_managed_zone"),
    // Several services have these: the path alone does not say whose it is.
    (Project, "instances", "cloudsql", "google_sql_database_instance"),
    (Project, "instances", "spanner", "google_spanner_instance"),
];

/// A path within Google's names, cut to the resource that it names or is part of.
struct Path<'a> {
    /// Up to the resource's end.
    path: &'a str,
    /// Whether the path was longer.
    is_cut: bool,
    /// Where it says `zones` of a cluster, which is `locations` today.
    zones: Option<usize>,
    kind: &'static Kind,
}

/// The innermost known resource on a path `projects/…`, of a service where that is known.
fn known<'a>(service: Option<&str>, path: &'a str) -> Option<Path<'a>> {
    let mut ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
    ends.push(path.len());
    let part = |at: usize| {
        let end = *ends.get(at)?;
        let from = if at == 0 { 0 } else { ends[at - 1] + 1 };
        Some(&path[from..end])
    };
    if part(0)? != "projects" || part(1)?.is_empty() {
        return None;
    }
    let (mut scope, mut at) = match part(2)? {
        "zones" | "regions" => (Compute, 4),
        "global" => (Compute, 3),
        "locations" => (Location, 4),
        _ => (Project, 2),
    };
    let is_old = part(2) == Some("zones") && part(4) == Some("clusters");
    if is_old {
        scope = Location;
    }
    let zones = is_old.then(|| ends[1] + 1);
    let (mut collections, mut found) = (String::new(), None);
    while at + 1 < ends.len() && part(at + 1).is_some_and(|name| !name.is_empty()) {
        if !collections.is_empty() {
            collections.push('/');
        }
        collections.push_str(part(at)?);
        let mut kinds = KINDS.iter().filter(|of| (of.0, of.1) == (scope, collections.as_str()));
        let is_service = |of: &&Kind| service.is_some_and(|service| service == of.2);
        let kind = match kinds.clone().find(is_service) {
            Some(kind) => Some(kind),
            // Whose it is, if only one has such. Other services' events are about machines, too (OS Login).
            None if service.is_none() || scope == Compute => {
                kinds.next().filter(|_| kinds.next().is_none())
            }
            None => None,
        };
        let Some(kind) = kind else { break };
        found = Some((kind, ends[at + 1]));
        at += 2;
    }
    let (kind, end) = found?;
    Some(Path { path: &path[..end], is_cut: end < path.len(), zones, kind })
}

impl Path<'_> {
    fn name(&self) -> String {
        let service = self.kind.2;
        match self.zones {
            Some(at) => {
                let (project, zone) = (&self.path[..at], &self.path[at + "zones/".len()..]);
                format!("//{service}{DOMAIN}/{project}locations/{zone}")
            }
            None => format!("//{service}{DOMAIN}/{}", self.path),
        }
    }
}

/// Service and path of a name: `//service/path`, a self link, or a path alone.
fn parts(id: &str) -> Option<(Option<&str>, &str)> {
    if let Some(full) = id.strip_prefix("//") {
        let (host, path) = full.split_once('/')?;
        return Some((Some(host.strip_suffix(DOMAIN)?), path));
    }
    if let Some(link) = id.strip_prefix("https://") {
        let (host, path) = link.split_once('/')?;
        let service = host.strip_suffix(DOMAIN)?;
        let at = path.find("projects/")?;
        let service = match service {
            // The service is the first part of the path.
            "www" => path.split('/').next().unwrap_or_default(),
            "sqladmin" => "cloudsql",
            service => service,
        };
        return Some((Some(service), &path[at..]));
    }
    id.starts_with("projects/").then_some((None, id))
}

/// A name as it is written here; what is none of Google's stays as it is.
pub(super) fn name(id: &str) -> Cow<'_, str> {
    let Some((service, path)) = parts(id) else { return Cow::Borrowed(id) };
    match known(service, path) {
        Some(path) => {
            let name = path.name();
            if name == id { Cow::Borrowed(id) } else { Cow::Owned(name) }
        }
        None => Cow::Borrowed(id),
    }
}

/// The type of what a full name names.
pub(super) fn name_type(id: &str) -> Option<&'static str> {
    let (service, path) = parts(id)?;
    let project = path.strip_prefix("projects/").filter(|id| !id.is_empty() && !id.contains('/'));
    match project {
        Some(_) if service == Some("cloudresourcemanager") => Some("google_project"),
        _ => known(service, path).filter(|path| !path.is_cut).map(|path| path.kind.3),
    }
}

/// The canonical id of what a service's event calls `name`, in the event's project; none of what is no name
/// of a resource.
pub(crate) fn within_project(service: &str, project: &str, name: &str) -> Option<String> {
    let short = service.strip_suffix(DOMAIN).unwrap_or(service);
    let short = if short == "sqladmin" { "cloudsql" } else { short };
    if name.starts_with("//") || name.starts_with("https://") {
        return Some(self::name(name).into_owned());
    }
    let name = name.trim().trim_matches('/');
    if let Some(id) = name.strip_prefix("projects/").filter(|id| !id.contains('/')) {
        return Some(format!("//cloudresourcemanager{DOMAIN}/projects/{id}"));
    }
    // Dataset, zone and the like, without the project that they are in.
    let prefixed = format!("projects/{project}/{name}");
    let path = if name.starts_with("projects/") { name } else { &prefixed };
    match known(Some(short), path) {
        Some(path) => Some(path.name()),
        None => name.contains('/').then(|| format!("//{short}{DOMAIN}/{name}")),
    }
}

/// Whether a name ends with the resource that it is about, and of which collection: what a deletion of it
/// deletes.
pub(crate) fn exact(name: &str) -> Option<&str> {
    let name = name.trim().trim_matches('/');
    let mut parts = name.rsplit('/');
    let collection = parts.nth(1)?;
    let path = &name[name.find("projects/").unwrap_or(0)..];
    known(None, path).is_none_or(|path| !path.is_cut).then_some(collection)
}

/// The canonical id of what Terraform calls by its name alone.
pub(super) fn declared(resource_type: &str, id: &str, project: Option<&str>) -> Option<String> {
    if id.contains('/') {
        return None;
    }
    match resource_type {
        "google_storage_bucket" => Some(format!("//storage{DOMAIN}/projects/_/buckets/{id}")),
        "google_sql_database_instance" => {
            Some(format!("//cloudsql{DOMAIN}/projects/{}/instances/{id}", project?))
        }
        _ => None,
    }
}
