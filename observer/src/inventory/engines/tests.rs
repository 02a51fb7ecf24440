//! Tests of the engines' files, in the form that Docker 20 to 28 and Podman 3 to 5 write them.

use std::fs;
use std::path::Path;

use super::*;

const ID: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";
const OTHER: &str = "ddeccf35884ef7dd0c5e3a6e1fc0d7ed3ffd69a40cb237448c39b9350532408e";

fn files(folder: &Path) -> Files {
    Files { folders: Folders::Given(vec![folder.to_owned()]), storage: storage::Lists::default() }
}

fn fact(id: &str, name: &str, image: &str) -> EngineFact {
    EngineFact { container_id: id.into(), name: name.into(), image: image.into() }
}

fn listed(id: &str, name: &str) -> String {
    format!(
        r#"{{"id":"{id}","names":["{name}"],"image":"9c770c8d0fe4","layer":"9d0bd17d8dc9","metadata":"{{\"image-name\":\"localhost/shop:1\",\"image-id\":\"9c770c8d0fe4\",\"name\":\"{name}\",\"created-at\":1795459551}}","created":"2026-11-23T18:45:51.843678814Z","flags":{{"MountLabel":"","ProcessLabel":""}}}}"#
    )
}

#[test]
fn podmans_list_is_read_again_when_it_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(folder.path());
    assert_eq!(files.find(ID), None);
    assert!(!files.health()[0].healthy);
    let driver = folder.path().join("overlay-containers");
    fs::create_dir(&driver).unwrap();
    let list = driver.join("containers.json");
    fs::write(&list, format!("[{}]", listed(ID, "cart"))).unwrap();
    assert_eq!(files.find(ID), Some(fact(ID, "cart", "localhost/shop:1")));
    assert_eq!(files.find(OTHER), None);
    // The library writes a new file and puts it in the old one's place.
    let new = driver.join("new");
    fs::write(&new, format!("[{},{}]", listed(ID, "cart"), listed(OTHER, "till"))).unwrap();
    fs::rename(new, &list).unwrap();
    assert_eq!(files.find(OTHER), Some(fact(OTHER, "till", "localhost/shop:1")));
    let health = files.health();
    assert!(health[0].healthy && health[0].name == "podman", "{health:?}");
    fs::write(&list, "[{").unwrap();
    assert_eq!(files.find(OTHER), None);
}

#[test]
fn dockers_containers_have_a_file_each() {
    let folder = tempfile::tempdir().unwrap();
    let container = folder.path().join("containers").join(ID);
    fs::create_dir_all(&container).unwrap();
    fs::create_dir(folder.path().join("image")).unwrap();
    let config = r#"{"State":{"Running":true},"ID":"x","Config":{"Hostname":"a","Image":"redis:7","Labels":{}},"Name":"/shop-redis-1","Driver":"overlay2"}"#;
    fs::write(container.join("config.v2.json"), config).unwrap();
    let mut files = files(folder.path());
    assert_eq!(files.find(ID), Some(fact(ID, "shop-redis-1", "redis:7")));
    assert_eq!(files.health()[0].name, "docker");
    for no_id in ["../../etc", "", &ID[1..], "lxc-name"] {
        assert_eq!(files.find(no_id), None);
    }
}

#[tokio::test]
async fn what_no_engine_knows_is_asked_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let driver = folder.path().join("vfs-containers");
    fs::create_dir(&driver).unwrap();
    fs::write(driver.join("containers.json"), format!("[{}]", listed(ID, "cart"))).unwrap();
    let (ask, requests) = mpsc::channel(4);
    let (others, mut asked) = mpsc::channel(1);
    let (facts, mut told) = mpsc::channel(8);
    let mut tasks = JoinSet::new();
    spawn(Folders::Given(vec![folder.path().to_owned()]), requests, others, facts, &mut tasks);
    for id in [OTHER, ID, OTHER] {
        ask.send(id.to_owned()).await.unwrap();
    }
    assert!(matches!(told.recv().await, Some(Fact::Sources(SOURCE, sources)) if sources.len() == 1));
    assert_eq!(told.recv().await, Some(Fact::Engine(fact(ID, "cart", "localhost/shop:1"))));
    // The other queue has room for one.
    assert_eq!(told.recv().await, Some(Fact::Unknown { container_id: OTHER.to_owned() }));
    assert_eq!(asked.recv().await.as_deref(), Some(OTHER));
}
