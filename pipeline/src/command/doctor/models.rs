//! The library that scores, and the models in force.

use std::collections::BTreeSet;
use std::path::Path;

use cloudops_models::registry::Registry;
use cloudops_models::runtime;
use cloudops_models::scorer::ScorerOptions;
use cloudops_operators::score::ModelId;
use cloudops_sql::catalog::Catalog;

use super::Findings;
use crate::config::Config;
use crate::job::Job;

pub(super) fn look(
    job: &Job,
    config: &Config,
    onnxruntime: Option<&Path>,
    log: Option<&Catalog>,
    deep: bool,
    findings: &mut Findings,
) {
    if job.streams.iter().all(|stream| stream.model.is_none()) {
        return;
    }
    let library = match runtime::init(onnxruntime) {
        Ok(info) if info.version == runtime::VERSION => {
            findings.ok("onnx runtime", format!("{} at {}", info.version, info.path.display()));
            true
        }
        Ok(info) => {
            findings.mind(
                "onnx runtime",
                format!(
                    "{} at {}, tested with {}",
                    info.version,
                    info.path.display(),
                    runtime::VERSION
                ),
                "`make runtime` fetches that version; another may give other bits",
            );
            true
        }
        Err(error) => {
            findings.failed(
                "onnx runtime",
                error.to_string(),
                "`make runtime`, or name the library with --onnxruntime FILE",
            );
            false
        }
    };
    let mut in_force = BTreeSet::new();
    for stream in &job.streams {
        let Some(model) = &stream.model else { continue };
        let name = format!("model of {}", stream.name);
        let timeline = log.map(|log| log.state().timeline(&stream.name)).unwrap_or_default();
        match (timeline.entries().last(), &model.onnx) {
            (Some((_, last)), _) => {
                let before = timeline.entries().len() - 1;
                let before = match before {
                    0 => String::new(),
                    _ => format!(", after {before} others"),
                };
                findings.ok(name, format!("{last} is in force{before}"));
                in_force.extend(timeline.entries().iter().map(|(_, model)| model.clone()));
            }
            (None, Some(onnx)) if onnx.is_file() => {
                findings.ok(name, format!("{} is put in force at the first run", onnx.display()));
            }
            (None, Some(onnx)) => findings.failed(
                name,
                format!("{} is no file", onnx.display()),
                "correct model.onnx in the configuration",
            ),
            (None, None) => findings.failed(
                name,
                "none is in force",
                "run `cloudops train` with this configuration",
            ),
        }
    }
    if !in_force.is_empty() {
        registry(config, &in_force, library, deep, findings);
    }
}

/// Whether models are registered, whole, and can be loaded.
fn registry(
    config: &Config,
    models: &BTreeSet<ModelId>,
    library: bool,
    deep: bool,
    findings: &mut Findings,
) {
    let restore = "restore the registry from a copy: results name this very version";
    let directory = match config.registry() {
        Ok(directory) if directory.is_dir() => directory,
        Ok(directory) => {
            findings.failed(
                "registry",
                format!("{} is no directory", directory.display()),
                restore,
            );
            return;
        }
        Err(error) => {
            findings.failed("registry", error.to_string(), "name catalog.registry");
            return;
        }
    };
    let registry = match Registry::open(directory) {
        Ok(registry) => registry,
        Err(error) => {
            findings.failed("registry", error.to_string(), restore);
            return;
        }
    };
    for id in models {
        let name = format!("model {id}");
        // Without the library there is no telling whether it loads, but its bytes can be compared.
        let loaded = match library {
            true => registry.scorer(id, &ScorerOptions::default()).map(|_| "whole, and it loads"),
            false => registry.load(id).map(|_| "whole"),
        };
        match loaded {
            Err(error) => findings.failed(name, error.to_string(), restore),
            Ok(found) if !(deep && library) => findings.ok(name, found),
            Ok(_) => match registry.verify(id) {
                Err(error) => findings.failed(name, error.to_string(), restore),
                Ok(checks) => match checks.iter().find(|check| !check.passed) {
                    Some(check) => {
                        findings.failed(name, format!("{}: {}", check.name, check.detail), restore);
                    }
                    None => findings.ok(name, "whole, it loads, and scores as when registered"),
                },
            },
        }
    }
}
