//! Images as OCI archives: one layer, one configuration, one manifest, in a tar file.
//!
//! The same input gives the same bytes.

use std::io::Result;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// Something in an image's file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A directory.
    Directory(&'static str),
    /// A file that may be executed or not.
    File {
        /// Where, without a leading slash.
        path: &'static str,
        /// The permission bits.
        mode: u32,
        /// The content.
        bytes: Vec<u8>,
    },
    /// A symbolic link.
    Link {
        /// Where, without a leading slash.
        path: String,
        /// Where to.
        target: &'static str,
    },
}

/// An image to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its whole name, such as `docker.io/keelson/tour:latest`.
    pub name: &'static str,
    /// Its file system.
    pub entries: Vec<Entry>,
    /// What it runs.
    pub command: Vec<&'static str>,
    /// TCP ports on which it answers.
    pub ports: Vec<u16>,
}

/// The image as an archive.
pub fn oci_archive(image: &Image) -> Result<Vec<u8>> {
    let layer = layer(&image.entries)?;
    let ports = image
        .ports
        .iter()
        .map(|port| (format!("{port}/tcp"), json!({})))
        .collect();
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "Env": ["PATH=/bin"],
            "Cmd": image.command,
            "WorkingDir": "/",
            "ExposedPorts": Value::Object(ports),
        },
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        "history": [{"created_by": "keelson"}],
    });
    let config = serde_json::to_vec(&config)?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    }))?;
    let mut of_manifest = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    of_manifest["annotations"] = json!({"io.containerd.image.name": image.name});
    let index = serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [of_manifest]}))?;
    let mut out = Builder::new(Vec::new());
    for bytes in [&layer, &config, &manifest] {
        let name = digest(bytes).replace(':', "/");
        append(&mut out, &format!("blobs/{name}"), 0o644, bytes)?;
    }
    append(&mut out, "index.json", 0o644, &index)?;
    append(
        &mut out,
        "oci-layout",
        0o644,
        br#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    out.into_inner()
}

fn layer(entries: &[Entry]) -> Result<Vec<u8>> {
    let mut out = Builder::new(Vec::new());
    for entry in entries {
        match entry {
            Entry::File { path, mode, bytes } => append(&mut out, path, *mode, bytes)?,
            Entry::Directory(path) => {
                let mut header = header(EntryType::Directory, 0o755, 0);
                out.append_data(&mut header, path, std::io::empty())?;
            }
            Entry::Link { path, target } => {
                let mut header = header(EntryType::Symlink, 0o777, 0);
                out.append_link(&mut header, path, target)?;
            }
        }
    }
    out.into_inner()
}

fn append(out: &mut Builder<Vec<u8>>, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    out.append_data(&mut header(EntryType::Regular, mode, size), path, bytes)
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use serde_json::Value;

    use super::{digest, oci_archive};
    use crate::bundle::tour;

    fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let mut out = BTreeMap::new();
        for entry in archive.entries().expect("entries") {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path").to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("bytes");
            out.insert(path, bytes);
        }
        out
    }

    #[test]
    fn what_is_packed_can_be_found_again_by_its_digests() {
        let image = tour(b"a program");
        let bytes = oci_archive(&image).expect("an archive");
        assert_eq!(bytes, oci_archive(&image).expect("an archive"));
        let files = files(&bytes);
        let blob = |digest: &Value| {
            let digest = digest.as_str().expect("a digest");
            let bytes = &files[&format!("blobs/{}", digest.replace(':', "/"))];
            assert_eq!(super::digest(bytes), digest);
            bytes.clone()
        };
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("json");
        let index = json(&files["index.json"]);
        assert_eq!(
            index["manifests"][0]["annotations"]["io.containerd.image.name"],
            image.name
        );
        let manifest = json(&blob(&index["manifests"][0]["digest"]));
        let config = json(&blob(&manifest["config"]["digest"]));
        let layer = blob(&manifest["layers"][0]["digest"]);
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(&layer));
        let inside = self::files(&layer);
        assert_eq!(inside["bin/busybox"], b"a program");
        assert!(inside.contains_key("bin/sh") && inside.contains_key("bin/wget"));
    }
}
