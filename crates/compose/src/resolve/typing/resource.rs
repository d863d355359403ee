//! Types top-level networks, volumes, secrets, configs and models.

use super::{
    super::environment::SECRET_VALUE,
    fields::{Fields, text},
};
use crate::{
    error::LoadError,
    model::{FileObject, Ipam, IpamPool, Model, Network, Volume},
};
use turnout_yaml::Node;

/// A resource that a file only names; with names made explicit there is none left.
pub(super) fn or_default<T: Default>(
    read: impl Fn(&Node, String) -> Result<T, LoadError>,
) -> impl Fn(&Node, String) -> Result<Option<T>, LoadError> {
    move |node, path| if node.is_null() { Ok(Some(T::default())) } else { read(node, path).map(Some) }
}

pub(super) fn network(node: &Node, path: String) -> Result<Network, LoadError> {
    let f = Fields::new(node, path)?;
    Ok(Network {
        name: f.text("name")?,
        driver: f.text("driver")?,
        driver_opts: f.mapping("driver_opts")?,
        ipam: f.section("ipam", ipam)?.unwrap_or_default(),
        external: f.flag("external")?,
        internal: f.flag("internal")?,
        attachable: f.flag("attachable")?,
        labels: f.mapping("labels")?,
        enable_ipv4: f.optional_flag("enable_ipv4")?,
        enable_ipv6: f.optional_flag("enable_ipv6")?,
    })
}

fn ipam(f: Fields<'_>) -> Result<Ipam, LoadError> {
    Ok(Ipam { driver: f.text("driver")?, config: f.sections("config", pool)? })
}

fn pool(f: Fields<'_>) -> Result<IpamPool, LoadError> {
    Ok(IpamPool {
        subnet: f.text("subnet")?,
        gateway: f.text("gateway")?,
        ip_range: f.text("ip_range")?,
        aux_addresses: f.mapping("aux_addresses")?,
    })
}

pub(super) fn volume(node: &Node, path: String) -> Result<Volume, LoadError> {
    let f = Fields::new(node, path)?;
    Ok(Volume {
        name: f.text("name")?,
        driver: f.text("driver")?,
        driver_opts: f.mapping("driver_opts")?,
        external: f.flag("external")?,
        labels: f.mapping("labels")?,
    })
}

pub(super) fn secret(node: &Node, path: String) -> Result<FileObject, LoadError> {
    let f = Fields::new(node, path)?;
    let content = f.text(SECRET_VALUE)?;
    Ok(FileObject { content, ..file_object(&f)? })
}

pub(super) fn config(node: &Node, path: String) -> Result<FileObject, LoadError> {
    file_object(&Fields::new(node, path)?)
}

fn file_object(f: &Fields<'_>) -> Result<FileObject, LoadError> {
    Ok(FileObject {
        name: f.text("name")?,
        file: f.text("file")?,
        environment: f.text("environment")?,
        content: f.text("content")?,
        external: f.flag("external")?,
        labels: f.mapping("labels")?,
        driver: f.text("driver")?,
        driver_opts: f.strict_table("driver_opts", text)?,
        template_driver: f.text("template_driver")?,
    })
}

pub(super) fn model(node: &Node, path: String) -> Result<Model, LoadError> {
    let f = Fields::new(node, path)?;
    Ok(Model {
        name: f.text("name")?,
        model: f.text("model")?,
        context_size: f.integer("context_size")?,
        runtime_flags: f.texts("runtime_flags")?,
    })
}
