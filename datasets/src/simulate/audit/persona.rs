//! Who calls, what its work is made of, and how it goes about it.
//!
//! Work comes in *tasks*: short sequences of operations that belong together, with pages and polling in
//! between. A persona has a list of them; a principal takes some of these up as habits, and now and then
//! one of its persona's others, or somebody else's: what is new to a principal is mostly harmless.

use super::super::rng::Rng;

/// One call of a task: service, operation, whether it only reads, how often at most in a row.
pub(super) type Step = (&'static str, &'static str, bool, usize);

/// Calls that belong together, in order.
pub(super) type Task = &'static [Step];

/// A kind of principal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Persona {
    /// For the truth, and for people.
    pub(super) name: &'static str,
    /// Whether it is a role that pipelines and services assume, at any hour; else a person.
    pub(super) machine: bool,
    /// Its tasks, the commonest first.
    pub(super) tasks: &'static [Task],
    /// Share of calls that are refused.
    pub(super) refused: f64,
}

const LOOK_AROUND: Task =
    &[("ec2", "DescribeInstances", true, 3), ("ec2", "DescribeVolumes", true, 2)];
const READ_LOGS: Task = &[
    ("logs", "DescribeLogGroups", true, 2),
    ("logs", "DescribeLogStreams", true, 3),
    ("logs", "FilterLogEvents", true, 8),
];
const METRICS: Task =
    &[("monitoring", "ListMetrics", true, 2), ("monitoring", "GetMetricData", true, 6)];
const OBJECTS: Task =
    &[("s3", "ListObjects", true, 2), ("s3", "GetObject", true, 8), ("s3", "PutObject", false, 2)];
const TRY_FUNCTION: Task = &[
    ("lambda", "ListFunctions20150331", true, 2),
    ("lambda", "GetFunction20150331v2", true, 2),
    ("lambda", "Invoke", false, 3),
    ("logs", "FilterLogEvents", true, 4),
];
const SHIP_FUNCTION: Task = &[
    ("s3", "PutObject", false, 1),
    ("lambda", "UpdateFunctionCode20150331v2", false, 1),
    ("lambda", "GetFunctionConfiguration20150331v2", true, 4),
    ("lambda", "PublishVersion20150331", false, 1),
];
const TABLES: Task = &[
    ("dynamodb", "ListTables", true, 1),
    ("dynamodb", "DescribeTable", true, 3),
    ("dynamodb", "Query", true, 5),
];
const RESTART: Task = &[
    ("ec2", "DescribeInstances", true, 2),
    ("ec2", "StopInstances", false, 1),
    ("ec2", "DescribeInstances", true, 6),
    ("ec2", "StartInstances", false, 1),
];
const SIGN_IN: Task = &[
    ("signin", "ConsoleLogin", false, 1),
    ("sts", "GetCallerIdentity", true, 1),
    ("health", "DescribeEventAggregates", true, 2),
];
const READ_SECRET: Task =
    &[("secretsmanager", "DescribeSecret", true, 1), ("secretsmanager", "GetSecretValue", true, 1)];
const READ_PARAMETERS: Task = &[("ssm", "GetParameters", true, 3)];
const ONTO_INSTANCE: Task = &[
    ("ssm", "DescribeInstanceInformation", true, 2),
    ("ssm", "StartSession", false, 1),
    ("ssm", "TerminateSession", false, 1),
];
const DATABASES: Task = &[
    ("rds", "DescribeDBInstances", true, 2),
    ("rds", "DescribeDBSnapshots", true, 2),
    ("rds", "ListTagsForResource", true, 4),
];
const BACK_UP: Task = &[
    ("rds", "CreateDBSnapshot", false, 1),
    ("rds", "DescribeDBSnapshots", true, 6),
    ("ec2", "CreateSnapshot", false, 2),
    ("ec2", "DescribeSnapshots", true, 4),
];
const QUERY_LAKE: Task = &[
    ("glue", "GetTables", true, 3),
    ("athena", "StartQueryExecution", false, 1),
    ("athena", "GetQueryExecution", true, 8),
    ("athena", "GetQueryResults", true, 3),
];
const REPORT: Task = &[
    ("quicksight", "DescribeDashboard", true, 2),
    ("ce", "GetCostAndUsage", true, 3),
    ("s3", "PutObject", false, 1),
];
const CHANGE_STACK: Task = &[
    ("cloudformation", "CreateChangeSet", false, 1),
    ("cloudformation", "DescribeChangeSet", true, 5),
    ("cloudformation", "ExecuteChangeSet", false, 1),
    ("cloudformation", "DescribeStackEvents", true, 10),
];
const PLAN: Task = &[
    ("ec2", "DescribeVpcs", true, 1),
    ("ec2", "DescribeSubnets", true, 2),
    ("ec2", "DescribeSecurityGroups", true, 3),
    ("iam", "GetRole", true, 4),
    ("iam", "GetPolicy", true, 3),
    ("s3", "GetBucketPolicy", true, 3),
    ("kms", "DescribeKey", true, 2),
];
const APPLY: Task = &[
    ("ec2", "RunInstances", false, 2),
    ("ec2", "CreateTags", false, 2),
    ("ec2", "AuthorizeSecurityGroupIngress", false, 1),
    ("iam", "CreateRole", false, 1),
    ("iam", "AttachRolePolicy", false, 1),
    ("elasticloadbalancing", "RegisterTargets", false, 1),
];
const PUSH_IMAGE: Task = &[
    ("ecr", "GetAuthorizationToken", true, 1),
    ("ecr", "BatchCheckLayerAvailability", true, 4),
    ("ecr", "PutImage", false, 1),
    ("ecs", "RegisterTaskDefinition", false, 1),
    ("ecs", "UpdateService", false, 1),
    ("ecs", "DescribeServices", true, 8),
];
const ASSUME: Task = &[("sts", "AssumeRole", true, 1), ("sts", "GetCallerIdentity", true, 1)];
const MANAGE_USERS: Task = &[
    ("iam", "ListUsers", true, 2),
    ("iam", "GetUser", true, 2),
    ("iam", "CreateUser", false, 1),
    ("iam", "AddUserToGroup", false, 1),
    ("iam", "CreateLoginProfile", false, 1),
];
const ROTATE_KEYS: Task = &[
    ("iam", "ListAccessKeys", true, 2),
    ("iam", "CreateAccessKey", false, 1),
    ("iam", "UpdateAccessKey", false, 1),
    ("iam", "DeleteAccessKey", false, 1),
];
const CHANGE_ROLES: Task = &[
    ("iam", "ListRoles", true, 2),
    ("iam", "GetRolePolicy", true, 2),
    ("iam", "PutRolePolicy", false, 1),
    ("iam", "UpdateAssumeRolePolicy", false, 1),
];
const NETWORK: Task = &[
    ("ec2", "DescribeSecurityGroups", true, 2),
    ("ec2", "AuthorizeSecurityGroupIngress", false, 1),
    ("ec2", "RevokeSecurityGroupIngress", false, 1),
    ("ec2", "DescribeFlowLogs", true, 1),
];
const REVIEW: Task = &[
    ("iam", "GetAccountAuthorizationDetails", true, 2),
    ("iam", "ListAttachedUserPolicies", true, 4),
    ("cloudtrail", "DescribeTrails", true, 1),
    ("cloudtrail", "LookupEvents", true, 6),
    ("config", "DescribeComplianceByConfigRule", true, 3),
    ("securityhub", "GetFindings", true, 4),
];
const ORGANISATION: Task = &[
    ("organizations", "ListAccounts", true, 2),
    ("organizations", "DescribeOrganization", true, 1),
    ("ec2", "DescribeRegions", true, 1),
];
const SCALE: Task = &[
    ("autoscaling", "DescribeAutoScalingGroups", true, 4),
    ("autoscaling", "SetDesiredCapacity", false, 1),
    ("ec2", "DescribeInstances", true, 3),
];
const UNSEAL: Task = &[("kms", "Decrypt", true, 4), ("secretsmanager", "GetSecretValue", true, 1)];
const QUEUE: Task = &[("sqs", "GetQueueAttributes", true, 2), ("sqs", "ReceiveMessage", true, 6)];
const TAG: Task = &[("tagging", "GetResources", true, 6), ("ec2", "CreateTags", false, 2)];
const CLEAN_UP: Task = &[
    ("ec2", "DescribeSnapshots", true, 3),
    ("ec2", "DeleteSnapshot", false, 3),
    ("ecr", "BatchDeleteImage", false, 1),
];

/// Who there is; a fleet takes them in turn, so that a dozen principals have some of each.
pub(super) const PERSONAS: [Persona; 8] = [
    Persona {
        name: "developer",
        machine: false,
        tasks: &[
            READ_LOGS,
            OBJECTS,
            TRY_FUNCTION,
            LOOK_AROUND,
            TABLES,
            SHIP_FUNCTION,
            METRICS,
            SIGN_IN,
            READ_SECRET,
            RESTART,
            QUEUE,
            READ_PARAMETERS,
        ],
        refused: 0.03,
    },
    Persona {
        name: "deployer",
        machine: true,
        tasks: &[ASSUME, CHANGE_STACK, PUSH_IMAGE, PLAN, APPLY, READ_PARAMETERS, SHIP_FUNCTION],
        refused: 0.01,
    },
    Persona {
        name: "analyst",
        machine: false,
        tasks: &[QUERY_LAKE, OBJECTS, REPORT, SIGN_IN, METRICS, TABLES],
        refused: 0.02,
    },
    Persona {
        name: "service",
        machine: true,
        tasks: &[OBJECTS, UNSEAL, QUEUE, SCALE, TABLES, METRICS],
        refused: 0.005,
    },
    Persona {
        name: "operator",
        machine: false,
        tasks: &[
            LOOK_AROUND,
            METRICS,
            READ_LOGS,
            RESTART,
            ONTO_INSTANCE,
            DATABASES,
            BACK_UP,
            SIGN_IN,
            NETWORK,
            TAG,
            SCALE,
            CLEAN_UP,
        ],
        refused: 0.02,
    },
    Persona {
        name: "developer",
        machine: false,
        tasks: &[
            OBJECTS,
            READ_LOGS,
            TABLES,
            QUEUE,
            TRY_FUNCTION,
            METRICS,
            SIGN_IN,
            LOOK_AROUND,
            SHIP_FUNCTION,
        ],
        refused: 0.03,
    },
    Persona {
        name: "administrator",
        machine: false,
        tasks: &[
            SIGN_IN,
            MANAGE_USERS,
            CHANGE_ROLES,
            ROTATE_KEYS,
            LOOK_AROUND,
            ORGANISATION,
            NETWORK,
            REVIEW,
        ],
        refused: 0.01,
    },
    Persona {
        name: "auditor",
        machine: false,
        tasks: &[REVIEW, SIGN_IN, ORGANISATION, LOOK_AROUND, DATABASES, TAG],
        refused: 0.02,
    },
];

/// The tasks that anybody may come to.
const ANYBODY: [Task; 9] =
    [LOOK_AROUND, READ_LOGS, METRICS, OBJECTS, TABLES, DATABASES, ORGANISATION, SIGN_IN, REPORT];

/// What a principal does day by day.
#[derive(Debug)]
pub(super) struct Habits {
    persona: &'static Persona,
    /// Of the persona's tasks, those that are its own, the commonest first.
    own: Vec<Task>,
}

impl Habits {
    /// Half of a persona's tasks, the first ones likelier, and in an order of its own.
    pub(super) fn of(persona: &'static Persona, rng: &mut Rng) -> Self {
        let mut own: Vec<Task> = Vec::new();
        for (at, task) in persona.tasks.iter().enumerate() {
            let early = 1.0 - at as f64 / persona.tasks.len() as f64;
            if rng.chance(0.25 + 0.6 * early) {
                let place = rng.below(own.len() + 1);
                own.insert(place, *task);
            }
        }
        if own.len() < 2 {
            own = persona.tasks[..2].to_vec();
        }
        Self { persona, own }
    }

    pub(super) fn persona(&self) -> &'static Persona {
        self.persona
    }

    /// The next task: one of its own, the first ones more often; seldom another of its persona's, and
    /// more seldom anybody's. Machines are steadier.
    pub(super) fn task(&self, rng: &mut Rng) -> Task {
        let strange = if self.persona.machine { 0.002 } else { 0.015 };
        if rng.chance(strange) {
            let others = if rng.chance(0.7) { self.persona.tasks } else { &ANYBODY };
            return others[rng.below(others.len())];
        }
        // Each next habit is about two thirds as common as the one before.
        let mut at = 0;
        while at + 1 < self.own.len() && rng.chance(0.62) {
            at += 1;
        }
        self.own[at]
    }
}
