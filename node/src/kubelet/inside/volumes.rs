//! A pod's volumes: what is made on the node, and where containers see it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, DownwardAPIVolumeFile, HostPathVolumeSource, KeyToPath, Pod, Secret,
    Volume, VolumeProjection,
};
use proto_cri::v1;

use super::super::context::Context;
use super::super::spec::PodId;
use super::super::steps::NotStarted;
use super::atomic::{self, File, Payload};
use super::env::{Variables, expand};
use super::field::{self, Facts};
use super::{Inside, files};

/// Permission bits of projected files where none are given.
const MODE: i32 = 0o644;
/// The life of a token where none is given.
const TOKEN_SECONDS: i64 = 3600;

/// The volumes of a pod by name: where they are on the node, and how they are mounted.
pub(super) type Mounted = BTreeMap<String, OnNode>;

/// A volume on the node.
pub(super) struct OnNode {
    path: PathBuf,
    read_only: bool,
}

impl Inside {
    /// Makes every volume of the pod, or brings it up to date.
    pub(super) async fn mount_volumes(
        &self,
        context: &Context,
        pod: &Pod,
    ) -> Result<Mounted, NotStarted> {
        let mut out = Mounted::new();
        for volume in pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()) {
            let on_node = self.mount(context, pod, volume).await.map_err(|error| {
                let text = format!(
                    "MountVolume.SetUp failed for volume {:?} : {error}",
                    volume.name
                );
                context
                    .recorder
                    .event(pod, client::events::Type::Warning, "FailedMount", text);
                // The status says only that the container is being created, as upstream's.
                NotStarted::new("ContainerCreating", "")
            })?;
            out.insert(volume.name.clone(), on_node);
        }
        Ok(out)
    }

    async fn mount(&self, context: &Context, pod: &Pod, volume: &Volume) -> Result<OnNode, String> {
        let directory = |kind: &str| {
            let pods = self.pod_directory(&PodId::of(pod)).join("volumes");
            pods.join(format!("kubernetes.io~{kind}"))
                .join(&volume.name)
        };
        let group = pod
            .spec
            .as_ref()
            .and_then(|s| s.security_context.as_ref()?.fs_group);
        let group = group.and_then(|g| u32::try_from(g).ok());
        if let Some(source) = &volume.host_path {
            prepare_host_path(source)?;
            return Ok(OnNode {
                path: PathBuf::from(&source.path),
                read_only: false,
            });
        }
        if let Some(source) = &volume.empty_dir {
            if source.medium.as_deref().is_some_and(|m| !m.is_empty()) {
                return Err("emptyDir in memory is not supported yet".to_owned());
            }
            let path = directory("empty-dir");
            empty_directory(&path, group).map_err(|e| e.to_string())?;
            return Ok(OnNode {
                path,
                read_only: false,
            });
        }
        let (kind, payload) = match self.payload(context, pod, volume).await? {
            Some(found) => found,
            None => return Err("this kind of volume is not supported yet".to_owned()),
        };
        let path = directory(kind);
        let written = atomic::write(&path, &payload);
        let written =
            written.and_then(|()| group.map_or(Ok(()), |group| files::give_to_group(&path, group)));
        written.map_err(|error| error.to_string())?;
        Ok(OnNode {
            path,
            read_only: true,
        })
    }

    async fn payload(
        &self,
        context: &Context,
        pod: &Pod,
        volume: &Volume,
    ) -> Result<Option<(&'static str, Payload)>, String> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let mut out = Payload::new();
        if let Some(source) = &volume.config_map {
            let found = self
                .objects
                .config_map(namespace, &source.name, source.optional == Some(true))
                .await;
            if let Some(map) = found.map_err(message)? {
                let mode = source.default_mode.unwrap_or(MODE);
                pick(
                    &mut out,
                    &bytes_of(&map),
                    source.items.as_deref(),
                    mode,
                    source.optional == Some(true),
                )?;
            }
            return Ok(Some(("configmap", out)));
        }
        if let Some(source) = &volume.secret {
            let name = source.secret_name.as_deref().unwrap_or_default();
            let found = self
                .objects
                .secret(namespace, name, source.optional == Some(true))
                .await;
            if let Some(secret) = found.map_err(message)? {
                let mode = source.default_mode.unwrap_or(MODE);
                pick(
                    &mut out,
                    &secret_bytes(&secret),
                    source.items.as_deref(),
                    mode,
                    source.optional == Some(true),
                )?;
            }
            return Ok(Some(("secret", out)));
        }
        if let Some(source) = &volume.downward_api {
            let mode = source.default_mode.unwrap_or(MODE);
            downward(
                &mut out,
                context,
                pod,
                source.items.as_deref().unwrap_or_default(),
                mode,
            )?;
            return Ok(Some(("downward-api", out)));
        }
        if let Some(source) = &volume.projected {
            let mode = source.default_mode.unwrap_or(MODE);
            for part in source.sources.iter().flatten() {
                self.project(&mut out, context, pod, part, mode).await?;
            }
            return Ok(Some(("projected", out)));
        }
        Ok(None)
    }

    async fn project(
        &self,
        out: &mut Payload,
        context: &Context,
        pod: &Pod,
        part: &VolumeProjection,
        mode: i32,
    ) -> Result<(), String> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        if let Some(source) = &part.config_map {
            let optional = source.optional == Some(true);
            if let Some(map) = self
                .objects
                .config_map(namespace, &source.name, optional)
                .await
                .map_err(message)?
            {
                pick(
                    out,
                    &bytes_of(&map),
                    source.items.as_deref(),
                    mode,
                    optional,
                )?;
            }
        } else if let Some(source) = &part.secret {
            let optional = source.optional == Some(true);
            if let Some(secret) = self
                .objects
                .secret(namespace, &source.name, optional)
                .await
                .map_err(message)?
            {
                pick(
                    out,
                    &secret_bytes(&secret),
                    source.items.as_deref(),
                    mode,
                    optional,
                )?;
            }
        } else if let Some(source) = &part.downward_api {
            downward(
                out,
                context,
                pod,
                source.items.as_deref().unwrap_or_default(),
                mode,
            )?;
        } else if let Some(source) = &part.service_account_token {
            let seconds = source.expiration_seconds.unwrap_or(TOKEN_SECONDS);
            let token = self
                .objects
                .token(
                    pod,
                    source.audience.as_deref().filter(|a| !a.is_empty()),
                    seconds,
                )
                .await?;
            // Readable by the pod's user and nobody else, where that user is known.
            let whole = pod.spec.as_ref().and_then(|s| s.security_context.as_ref());
            let private = whole.is_some_and(|s| s.fs_group.is_some());
            let mode = if private { 0o600 } else { mode };
            put(out, &source.path, token.into_bytes(), mode);
        } else {
            return Err("this kind of projection is not supported yet".to_owned());
        }
        Ok(())
    }
}

fn message(error: NotStarted) -> String {
    error.waiting.message
}

fn put(out: &mut Payload, path: &str, bytes: Vec<u8>, mode: i32) {
    out.insert(
        path.to_owned(),
        File {
            bytes,
            mode: u32::try_from(mode).unwrap_or(0o644) & 0o777,
        },
    );
}

fn bytes_of(map: &ConfigMap) -> BTreeMap<String, Vec<u8>> {
    let texts = map
        .data
        .iter()
        .flatten()
        .map(|(key, text)| (key.clone(), text.clone().into_bytes()));
    texts
        .chain(
            map.binary_data
                .iter()
                .flatten()
                .map(|(key, bytes)| (key.clone(), bytes.0.clone())),
        )
        .collect()
}

fn secret_bytes(secret: &Secret) -> BTreeMap<String, Vec<u8>> {
    secret
        .data
        .iter()
        .flatten()
        .map(|(key, bytes)| (key.clone(), bytes.0.clone()))
        .collect()
}

/// All keys under their own names, or the listed ones at their paths.
fn pick(
    out: &mut Payload,
    from: &BTreeMap<String, Vec<u8>>,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: bool,
) -> Result<(), String> {
    let Some(items) = items.filter(|i| !i.is_empty()) else {
        from.iter()
            .for_each(|(key, bytes)| put(out, key, bytes.clone(), mode));
        return Ok(());
    };
    for item in items {
        match from.get(&item.key) {
            Some(bytes) => put(out, &item.path, bytes.clone(), item.mode.unwrap_or(mode)),
            None if optional => {}
            None => return Err(format!("references non-existent config key: {}", item.key)),
        }
    }
    Ok(())
}

fn downward(
    out: &mut Payload,
    context: &Context,
    pod: &Pod,
    items: &[DownwardAPIVolumeFile],
    mode: i32,
) -> Result<(), String> {
    let facts = Facts {
        pod,
        host_ips: &context.host_ips,
        pod_ip: None,
        context,
    };
    for item in items {
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => field::of_pod(&facts, &field.field_path)?,
            (None, Some(resource)) => field::of_resources(&facts, resource, &Container::default())?,
            (None, None) => continue,
        };
        put(
            out,
            &item.path,
            text.into_bytes(),
            item.mode.unwrap_or(mode),
        );
    }
    Ok(())
}

fn empty_directory(path: &Path, group: Option<u32>) -> std::io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(path)?;
    files::set_mode(path, 0o777)?;
    group.map_or(Ok(()), |group| files::give_to_group(path, group))
}

fn prepare_host_path(source: &HostPathVolumeSource) -> Result<(), String> {
    let path = Path::new(&source.path);
    let kind = source.type_.as_deref().unwrap_or_default();
    let made = match kind {
        "DirectoryOrCreate" => std::fs::create_dir_all(path),
        "FileOrCreate" if !path.exists() => std::fs::File::create(path).map(|_| ()),
        _ => Ok(()),
    };
    made.map_err(|error| error.to_string())?;
    let fits = match kind {
        "Directory" => path.is_dir(),
        "File" => path.is_file(),
        _ => true,
    };
    if fits {
        Ok(())
    } else {
        Err(format!(
            "hostPath type check failed: {} is not a {}",
            source.path,
            kind.to_lowercase()
        ))
    }
}

/// Where a container sees the volumes.
pub(super) fn mounts(
    spec: &Container,
    volumes: &Mounted,
    variables: &Variables,
) -> Result<Vec<v1::Mount>, NotStarted> {
    let mut out = Vec::new();
    for mount in spec.volume_mounts.iter().flatten() {
        let refuse = |text: String| NotStarted::new("CreateContainerConfigError", text);
        let volume = volumes.get(&mount.name);
        let volume = volume.ok_or_else(|| refuse(format!("volume {:?} not found", mount.name)))?;
        let by_expression = mount
            .sub_path_expr
            .as_deref()
            .map(|text| expand(text, variables));
        let sub_path = by_expression
            .or_else(|| mount.sub_path.clone())
            .filter(|p| !p.is_empty());
        let path = match &sub_path {
            None => volume.path.clone(),
            Some(sub) => sub_path_in(&volume.path, sub, volume.read_only).map_err(refuse)?,
        };
        let propagation = match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => v1::MountPropagation::PropagationHostToContainer,
            Some("Bidirectional") => v1::MountPropagation::PropagationBidirectional,
            _ => v1::MountPropagation::PropagationPrivate,
        };
        out.push(v1::Mount {
            container_path: mount.mount_path.clone(),
            host_path: path.to_string_lossy().into_owned(),
            readonly: volume.read_only || mount.read_only == Some(true),
            propagation: propagation.into(),
            ..v1::Mount::default()
        });
    }
    Ok(out)
}

/// A path inside a volume, with every link in it followed; it must not lead out of the volume.
fn sub_path_in(volume: &Path, sub: &str, must_exist: bool) -> Result<PathBuf, String> {
    let failed =
        |error: std::io::Error| format!("failed to prepare subPath for volumeMount: {error}");
    let path = volume.join(sub);
    if !must_exist && !path.exists() && !sub.split('/').any(|part| part == "..") {
        std::fs::create_dir_all(&path).map_err(failed)?;
    }
    let (real, root) = (
        path.canonicalize().map_err(failed)?,
        volume.canonicalize().map_err(failed)?,
    );
    if real.starts_with(&root) {
        Ok(real)
    } else {
        Err(format!("subPath {sub:?} leads out of the volume"))
    }
}
