import json
import tomllib
from pathlib import Path

from cluster_record import RECORD

from cluster import addresses, control_plane, node_config
from cluster.paths import Checkout, State
from cluster.record import read_record

STATE = State(Path("/home/me/octavo/.octavo/cluster"))


def test_two_checkouts_never_share_a_name() -> None:
    one, other = Checkout(Path("/home/me/octavo")), Checkout(Path("/home/me/octavo2"))
    assert one.cluster_name != other.cluster_name
    assert one.context == f"octavo-local-{one.cluster_name.removeprefix('octavo-')}"


def test_a_record_reads_back_as_it_was_written(tmp_path: Path) -> None:
    RECORD.write(tmp_path / "cluster.json")
    assert read_record(tmp_path / "cluster.json") == RECORD


def test_a_record_of_another_version_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text(json.dumps({"archives": [], "visible": [], "colour": "blue"}))
    assert read_record(tmp_path / "cluster.json") is None


def test_the_sweep_of_the_image_store_starts_no_pods() -> None:
    serving = tomllib.loads(node_config.containerd_toml("/usr/lib/cni", serve_pods=True))
    sweeping = tomllib.loads(node_config.containerd_toml("/usr/lib/cni", serve_pods=False))
    assert set(sweeping["disabled_plugins"]) - set(serving["disabled_plugins"]) == {
        "io.containerd.grpc.v1.cri"
    }
    assert serving["plugins"]["io.containerd.grpc.v1.cri"]["cni"]["bin_dir"] == "/usr/lib/cni"


def test_pods_of_two_nodes_have_addresses_of_their_own_within_the_range_that_kube_proxy_knows() -> None:
    subnets = [
        json.loads(node_config.cni_conflist(node))["plugins"][0]["ipam"]["ranges"][0][0]["subnet"]
        for node in (1, 2)
    ]
    assert subnets == ["10.244.0.0/24", "10.244.1.0/24"]
    assert json.loads(node_config.kube_proxy_config(1, STATE))["clusterCIDR"] == addresses.PODS


def test_kubelet_keeps_its_pods_in_the_group_of_its_own_node() -> None:
    assert json.loads(node_config.kubelet_config("octavo-1", 2, STATE))["cgroupRoot"] == "/octavo-1/n2"


def test_the_control_plane_writes_only_below_the_state_folder_and_run() -> None:
    parts = (
        control_plane.etcd,
        control_plane.api_server,
        control_plane.controller_manager,
        control_plane.scheduler,
    )
    flags = [flag for part in parts for flag in part(RECORD, STATE)[1:]]
    written = [flag.split("=")[1] for flag in flags if "dir=" in flag or "log-path=" in flag]
    assert len(written) == 3
    assert all(path.startswith((str(STATE.folder), "/run/")) for path in written)
