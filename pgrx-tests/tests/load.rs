//! The library loads, the extension is created, and both say the same version.

use indexpilot_tests::Cluster;

#[test]
fn every_major_creates_the_extension_and_says_its_version() {
    let cluster = Cluster::started();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION indexpilot");
    assert_eq!(
        session.text("SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'indexpilot'"),
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(
        session.text("SELECT indexpilot.version()"),
        env!("CARGO_PKG_VERSION")
    );
}
