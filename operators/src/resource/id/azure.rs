//! Azure's paths: of any letter case, and one within another.

use std::borrow::Cow;

/// Whether a name is a path of Azure's.
pub(super) fn is_path(id: &str) -> bool {
    ["/subscriptions/", "/providers/", "/tenants/"]
        .iter()
        .any(|root| id.get(..root.len()).is_some_and(|head| head.eq_ignore_ascii_case(root)))
}

/// A path as it is written here: in lower case, which Azure does not tell apart.
pub(super) fn path(id: &str) -> Cow<'_, str> {
    let id = id.trim_end_matches(|end: char| end == '/' || end.is_whitespace());
    if id.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(id.to_ascii_lowercase())
    } else {
        Cow::Borrowed(id)
    }
}

/// Types of resources by provider and kind. Terraform's `azurerm_virtual_machine` stands for machines with
/// either system.
const TYPES: &[(&str, &str)] = &[
    ("microsoft.compute/virtualmachines", "azurerm_virtual_machine"),
    ("microsoft.compute/virtualmachinescalesets", "azurerm_virtual_machine_scale_set"),
    ("microsoft.compute/virtualmachinescalesets/virtualmachines", "azurerm_virtual_machine"),
    ("microsoft.compute/disks", "azurerm_managed_disk"),
    ("microsoft.compute/snapshots", "azurerm_snapshot"),
    ("microsoft.compute/images", "azurerm_image"),
    ("microsoft.compute/galleries", "azurerm_shared_image_gallery"),
    ("microsoft.network/networkinterfaces", "azurerm_network_interface"),
    ("microsoft.network/publicipaddresses", "azurerm_public_ip"),
    ("microsoft.network/networksecuritygroups", "azurerm_network_security_group"),
    ("microsoft.network/virtualnetworks", "azurerm_virtual_network"),
    ("microsoft.network/virtualnetworks/subnets", "azurerm_subnet"),
    ("microsoft.network/routetables", "azurerm_route_table"),
    ("microsoft.network/natgateways", "azurerm_nat_gateway"),
    ("microsoft.network/loadbalancers", "azurerm_lb"),
    ("microsoft.network/applicationgateways", "azurerm_application_gateway"),
    ("microsoft.network/firewallpolicies", "azurerm_firewall_policy"),
    ("microsoft.network/azurefirewalls", "azurerm_firewall"),
    ("microsoft.network/networkwatchers", "azurerm_network_watcher"),
    ("microsoft.network/privateendpoints", "azurerm_private_endpoint"),
    ("microsoft.network/dnszones", "azurerm_dns_zone"),
    ("microsoft.storage/storageaccounts", "azurerm_storage_account"),
    ("microsoft.sql/servers", "azurerm_mssql_server"),
    ("microsoft.sql/servers/databases", "azurerm_mssql_database"),
    ("microsoft.sql/servers/elasticpools", "azurerm_mssql_elasticpool"),
    ("microsoft.sql/managedinstances", "azurerm_mssql_managed_instance"),
    ("microsoft.dbforpostgresql/flexibleservers", "azurerm_postgresql_flexible_server"),
    ("microsoft.dbformysql/flexibleservers", "azurerm_mysql_flexible_server"),
    ("microsoft.documentdb/databaseaccounts", "azurerm_cosmosdb_account"),
    ("microsoft.cache/redis", "azurerm_redis_cache"),
    ("microsoft.keyvault/vaults", "azurerm_key_vault"),
    ("microsoft.web/sites", "azurerm_app_service"),
    ("microsoft.web/serverfarms", "azurerm_service_plan"),
    ("microsoft.containerservice/managedclusters", "azurerm_kubernetes_cluster"),
    ("microsoft.containerregistry/registries", "azurerm_container_registry"),
    ("microsoft.eventhub/namespaces", "azurerm_eventhub_namespace"),
    ("microsoft.eventhub/namespaces/eventhubs", "azurerm_eventhub"),
    ("microsoft.servicebus/namespaces", "azurerm_servicebus_namespace"),
    ("microsoft.automation/automationaccounts", "azurerm_automation_account"),
    ("microsoft.automation/automationaccounts/runbooks", "azurerm_automation_runbook"),
    ("microsoft.operationalinsights/workspaces", "azurerm_log_analytics_workspace"),
    ("microsoft.insights/actiongroups", "azurerm_monitor_action_group"),
    ("microsoft.insights/components", "azurerm_application_insights"),
    ("microsoft.databricks/workspaces", "azurerm_databricks_workspace"),
    ("microsoft.authorization/roleassignments", "azurerm_role_assignment"),
];

/// What a path names: provider and kinds, `microsoft.sql/servers/databases`; of what extends another, the
/// extension's own.
pub(crate) fn kinds(id: &str) -> Option<String> {
    let (_, named) = id.rsplit_once("/providers/")?;
    let mut parts = named.split('/');
    let mut kinds = parts.next()?.to_owned();
    // Kind and name in turn.
    for kind in parts.step_by(2) {
        kinds.push('/');
        kinds.push_str(kind);
    }
    kinds.contains('/').then_some(kinds)
}

/// The type of what a path in lower case names.
pub(super) fn path_type(id: &str) -> Option<&'static str> {
    if let Some(kinds) = kinds(id) {
        return TYPES.iter().find(|(of, _)| *of == kinds).map(|(_, name)| *name);
    }
    let parts: Vec<&str> = id.split('/').skip(1).collect();
    match parts[..] {
        ["subscriptions", _] => Some("azurerm_subscription"),
        ["subscriptions", _, "resourcegroups", _] => Some("azurerm_resource_group"),
        _ => None,
    }
}

/// Resources around the one that a path in lower case names, outermost first: of every provider's part the
/// first kind and name, and those below it whose type is known.
pub(super) fn around(id: &str) -> impl Iterator<Item = &str> {
    const ROOT: &str = "/providers/";
    let mut ends = Vec::new();
    for (at, _) in id.match_indices(ROOT) {
        let named = &id[at + ROOT.len()..];
        let end = named.find(ROOT).map_or(id.len(), |next| at + ROOT.len() + next);
        let slashes: Vec<usize> =
            id[at + ROOT.len()..end].match_indices('/').map(|(i, _)| at + ROOT.len() + i).collect();
        if slashes.len() < 2 {
            continue;
        }
        // Provider / kind / name / kind / name: names end at every second slash from the third on.
        let bounds = slashes.iter().copied().skip(2).step_by(2).chain([end]);
        for (depth, bound) in bounds.enumerate() {
            if bound < id.len() && (depth == 0 || path_type(&id[..bound]).is_some()) {
                ends.push(bound);
            }
        }
    }
    ends.dedup();
    ends.into_iter().map(move |end| &id[..end])
}
