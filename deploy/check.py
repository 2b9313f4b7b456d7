"""What deploy/check asks of the manifests that no schema says: that the parts fit together.

Not a validator of Kubernetes objects: kubernetes-validate is, and promtool is for the rules' expressions.
"""

import pathlib
import re
import sys

import yaml

DEPLOY = pathlib.Path(__file__).resolve().parent
OPERATOR_KINDS = {"ServiceMonitor", "PrometheusRule"}
BASE_KINDS = {
    "Namespace": 2, "ServiceAccount": 1, "ConfigMap": 1, "Deployment": 1, "Service": 2, "PodDisruptionBudget": 1,
    "NetworkPolicy": 4, "ServiceMonitor": 1, "PrometheusRule": 1,
}
EXPECTED_KINDS = {
    "kubernetes-base": BASE_KINDS,
    "kubernetes-examples-plain-cluster": {kind: n for kind, n in BASE_KINDS.items() if kind not in OPERATOR_KINDS},
    "kubernetes-examples-mcp-server": {"ConfigMap": 1, "Deployment": 1},
}
ENFORCED = {"egret.dev/egress": "enforced"}
DRAIN_SECONDS = 30

faults = []


def expect(holds, fault):
    """Notes `fault` unless `holds`; all faults are shown at the end."""
    if not holds:
        faults.append(fault)


def read(path):
    return yaml.safe_load(path.read_text())


def documents(path):
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


def named(objects, kind, name):
    found = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    if len(found) != 1:
        sys.exit(f"{kind}/{name}: expected one, found {len(found)}")
    return found[0]


def selects(selector, labels):
    return selector.items() <= labels.items()


def split(path):
    """Puts the kinds that Kubernetes itself defines into a file for kubernetes-validate, and counts all."""
    path = pathlib.Path(path)
    objects = documents(path)
    counted = {}
    for one in objects:
        counted[one["kind"]] = counted.get(one["kind"], 0) + 1
    expect(counted == EXPECTED_KINDS[path.stem], f"{path.stem}: expected {EXPECTED_KINDS[path.stem]}, found {counted}")
    builtin = [one for one in objects if one["kind"] not in OPERATOR_KINDS]
    path.with_suffix(".builtin.yaml").write_text(yaml.safe_dump_all(builtin))


def check_restricted(deployment):
    """The restricted Pod Security Standard, and a root that can't be written."""
    name = deployment["metadata"]["name"]
    pod = deployment["spec"]["template"]["spec"]
    expect(pod["automountServiceAccountToken"] is False, f"{name}: mounts a service account token")
    expect(pod["securityContext"]["runAsNonRoot"] is True, f"{name}: may run as root")
    expect(pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", f"{name}: no seccomp profile")
    expect(not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), f"{name}: shares a namespace with its node")
    for container in pod["containers"]:
        context = container["securityContext"]
        expect(context["allowPrivilegeEscalation"] is False, f"{name}: may escalate")
        expect(context["readOnlyRootFilesystem"] is True, f"{name}: can write to its root")
        expect(context["capabilities"] == {"drop": ["ALL"]}, f"{name}: keeps capabilities")
        expect("memory" in container["resources"]["limits"], f"{name}: no memory limit")


def check_egret_pod(objects):
    deployment = named(objects, "Deployment", "egret")
    spec, pod = deployment["spec"], deployment["spec"]["template"]["spec"]
    labels, container = spec["template"]["metadata"]["labels"], pod["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    config = yaml.safe_load(named(objects, "ConfigMap", "egret")["data"]["egret.yaml"])
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}

    check_restricted(deployment)
    expect(config["proxy"]["listen"] == f"0.0.0.0:{ports['proxy']}", "proxy.listen and the proxy port differ")
    expect(config["admin"]["listen"] == f"0.0.0.0:{ports['admin']}", "admin.listen and the admin port differ")
    expect(container["args"] == ["run", "--config", "/etc/egret/egret.yaml"], "the container reads another configuration")
    expect(mounts["config"]["mountPath"] == "/etc/egret", "the configuration is mounted elsewhere")
    expect(not any("subPath" in mount for mount in container["volumeMounts"]), "a subPath mount never follows a change")
    expect(volumes["config"]["configMap"]["name"] == "egret", "another ConfigMap is mounted")
    expect(volumes["ca"]["secret"]["secretName"] == "egret-ca", "another Secret is mounted")
    for key in ("certificate", "key"):
        folder = str(pathlib.PurePosixPath(config["ca"][key]).parent)
        expect(folder == mounts["ca"]["mountPath"], f"ca.{key} is not in the Secret's mount")
    expect(config["state_dir"] == mounts["state"]["mountPath"], "state_dir is not on the state volume")
    expect(config["audit"]["path"].startswith(mounts["state"]["mountPath"] + "/"), "the trail is not on the state volume")
    expect(config["audit"]["on_failure"] == "refuse", "the base must fail closed")
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    expect(pod["terminationGracePeriodSeconds"] >= pause + DRAIN_SECONDS + 5, "no time to drain before the kill")
    probes = {probe: container[probe]["httpGet"] for probe in ("livenessProbe", "readinessProbe")}
    expect(probes["livenessProbe"] == {"path": "/livez", "port": "admin"}, "liveness probe asks elsewhere")
    expect(probes["readinessProbe"] == {"path": "/readyz", "port": "admin"}, "readiness probe asks elsewhere")

    selectors = {
        "Deployment": spec["selector"]["matchLabels"],
        "PodDisruptionBudget": named(objects, "PodDisruptionBudget", "egret")["spec"]["selector"]["matchLabels"],
        "Service egret": named(objects, "Service", "egret")["spec"]["selector"],
        "Service egret-metrics": named(objects, "Service", "egret-metrics")["spec"]["selector"],
        "NetworkPolicy egret": named(objects, "NetworkPolicy", "egret")["spec"]["podSelector"]["matchLabels"],
    }
    for spread in pod["topologySpreadConstraints"]:
        selectors[f"spread over {spread['topologyKey']}"] = spread["labelSelector"]["matchLabels"]
    for what, selector in selectors.items():
        expect(selector and selects(selector, labels), f"{what} does not select Egret's pods")


def check_services(objects):
    proxy, metrics = named(objects, "Service", "egret"), named(objects, "Service", "egret-metrics")
    expect([port["port"] for port in proxy["spec"]["ports"]] == [3128], "the proxy's Service shows more than the proxy")
    expect([port["port"] for port in metrics["spec"]["ports"]] == [9090], "the metrics Service shows more than the metrics")
    expect(metrics["spec"]["publishNotReadyAddresses"] is True, "a pod that is not ready is not scraped")

    monitor = named(objects, "ServiceMonitor", "egret")
    expect(monitor["apiVersion"] == "monitoring.coreos.com/v1", "ServiceMonitor: apiVersion")
    expect(monitor["metadata"]["namespace"] == metrics["metadata"]["namespace"], "ServiceMonitor looks in another namespace")
    selector = monitor["spec"]["selector"]["matchLabels"]
    expect(selects(selector, metrics["metadata"]["labels"]), "ServiceMonitor does not select the metrics Service")
    expect(not selects(selector, proxy["metadata"]["labels"]), "ServiceMonitor selects the proxy's Service as well")
    expect(metrics["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "egret", 'ServiceMonitor: the alerts ask for job="egret"')
    endpoints = [(end["port"], end["path"]) for end in monitor["spec"]["endpoints"]]
    expect(endpoints == [("admin", "/metrics")], "ServiceMonitor scrapes elsewhere")


def check_policies(objects):
    namespace = named(objects, "Namespace", "egret")["metadata"]["name"]
    pod = named(objects, "Deployment", "egret")["spec"]["template"]["metadata"]["labels"]
    own = named(objects, "NetworkPolicy", "egret")["spec"]
    enforced = named(objects, "NetworkPolicy", "egress-only-through-egret")["spec"]

    expect(enforced["podSelector"] == {"matchLabels": ENFORCED}, "the egress policy is not for the label")
    expect(enforced["policyTypes"] == ["Egress"] and len(enforced["egress"]) == 1, "there must be one way out")
    way = enforced["egress"][0]
    expect(way["ports"] == [{"protocol": "TCP", "port": 3128}], "the way out must be TCP 3128 alone")
    peer = way["to"][0]
    expect(len(way["to"]) == 1 and selects(peer["podSelector"]["matchLabels"], pod), "the way out must lead to Egret alone")
    home = peer["namespaceSelector"]["matchLabels"]
    expect(home == {"kubernetes.io/metadata.name": namespace}, "the way out leads to another namespace")

    doors = {rule["ports"][0]["port"]: rule["from"] for rule in own["ingress"] if len(rule["ports"]) == 1}
    expect(doors.keys() == {3128, 9090} and len(own["ingress"]) == 2, "Egret has another door than proxy and admin")
    expect(doors[3128] == [{"namespaceSelector": {}, "podSelector": {"matchLabels": ENFORCED}}],
           "the proxy is open to more than enforced pods")
    expect(all("namespaceSelector" in one and one["namespaceSelector"] for one in doors[9090]), "admin is open to all")
    blocks = [to["ipBlock"] for rule in own["egress"] for to in rule["to"] if "ipBlock" in to]
    everywhere = next(block for block in blocks if block["cidr"] == "0.0.0.0/0")
    for inside in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8"):
        expect(inside in everywhere["except"], f"Egret itself may reach {inside}")

    for home, name in ((namespace, "default-deny"), ("mcp-servers", "default-deny-egress")):
        deny = named(objects, "NetworkPolicy", name)
        expect(deny["metadata"]["namespace"] == home, f"{name} is not in {home}")
        expect(deny["spec"]["podSelector"] == {} and "Egress" in deny["spec"]["policyTypes"], f"{name} leaves pods out")
        expect(not deny["spec"].get("egress"), f"{name} lets something out")
    labels = named(objects, "Namespace", "mcp-servers")["metadata"]["labels"]
    expect(labels["pod-security.kubernetes.io/enforce"] in ("baseline", "restricted"), "hostNetwork would bypass the policies")


def check_example(objects):
    deployment = named(objects, "Deployment", "github-mcp")
    template = deployment["spec"]["template"]
    pod, container = template["spec"], template["spec"]["containers"][0]
    check_restricted(deployment)
    expect(selects(ENFORCED, template["metadata"]["labels"]), "the example is not under the egress policy")
    expect(pod["dnsPolicy"] == "None", "the example has DNS")
    variables = named(objects, "ConfigMap", container["envFrom"][0]["configMapRef"]["name"])["data"]
    host = re.fullmatch(r"http://([^:/]+):3128", variables["HTTPS_PROXY"])[1]
    expect(any(host in alias["hostnames"] for alias in pod["hostAliases"]), "the proxy's name is in no hosts entry")
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    expect(str(pathlib.PurePosixPath(variables["SSL_CERT_FILE"]).parent) in mounts, "the CA bundle is not mounted")


def manifests(rendered):
    base = documents(pathlib.Path(rendered) / "kubernetes-base.yaml")
    check_egret_pod(base)
    check_services(base)
    check_policies(base)
    rule = named(base, "PrometheusRule", "egret")
    expect(rule["spec"] == read(DEPLOY / "prometheus/alerts.yaml"), "the rendered PrometheusRule is not alerts.yaml")
    check_example(documents(pathlib.Path(rendered) / "kubernetes-examples-mcp-server.yaml"))


def alerts():
    rules = [rule for group in read(DEPLOY / "prometheus/alerts.yaml")["groups"] for rule in group["rules"]]
    cases = [case for test in read(DEPLOY / "prometheus/alerts.test.yaml")["tests"] for case in test["alert_rule_test"]]
    sections = re.findall(r"^## (\w+)$", (DEPLOY / "runbook.md").read_text(), re.MULTILINE)
    expect(rules, "no rules")
    expect(sections == [rule["alert"] for rule in rules], f"runbook.md's sections are {sections}, not the alerts in order")
    for rule in rules:
        name, notes = rule["alert"], rule["annotations"]
        expect(rule["labels"]["severity"] in ("critical", "warning"), f"{name}: severity")
        expect(notes.keys() == {"summary", "description", "runbook"}, f"{name}: annotations are {set(notes)}")
        expect(notes["runbook"] == f"deploy/runbook.md#{name.lower()}", f"{name}: points at another section")
        outcomes = {bool(case["exp_alerts"]) for case in cases if case["alertname"] == name}
        expect(outcomes == {True, False}, f"{name}: needs a case that fires and one that doesn't")


def compose():
    composed = read(DEPLOY / "compose/compose.yaml")
    config = read(DEPLOY / "compose/egret/egret.yaml")
    services, networks = composed["services"], composed["networks"]
    open_networks = {name for name, network in networks.items() if not network.get("internal")}
    for name, service in services.items():
        expect("network_mode" not in service, f"{name}: network_mode leaves the networks aside")
        expect(service.get("networks"), f"{name}: no network means the default one, which has a way out")
        reaches = open_networks & set(service.get("networks", []))
        expect(name == "egret" or not reaches, f"{name}: has a way out beside Egret")
        expect(service.get("cap_drop") == ["ALL"], f"{name}: keeps capabilities")
    inside, outside = (networks[name]["ipam"]["config"][0]["subnet"] for name in ("inside", "outside"))
    expect(config["workloads"][0]["match"]["networks"] == [inside], "the workload's network is not the compose network")
    admin = services["egret"]["networks"]["outside"]["ipv4_address"]
    expect(config["admin"]["listen"] == f"{admin}:9090", "the admin listener is not on the outer network alone")
    expect(outside.rsplit(".", 1)[0] == admin.rsplit(".", 1)[0], "Egret's address is not in the outer network")
    expect(services["egret"]["read_only"] is True, "egret: can write to its root")
    bundle = services["mcp-server"]["volumes"][0].split(":")[1]
    expect(f"SSL_CERT_FILE={bundle}\n" in (DEPLOY / "client-env/client.env").read_text(), "the CA bundle is mounted elsewhere")


def variables():
    """client.env, the systemd drop-in and both cases of the proxy variables name the same set."""
    lines = (DEPLOY / "client-env/client.env").read_text().splitlines()
    shared = {line.split("=", 1)[0] for line in lines if line and not line.startswith("#")}
    drop_in = (DEPLOY / "systemd/through-egret.conf").read_text()
    local = {pair.split("=", 1)[0] for line in re.findall(r"^Environment=(.*)$", drop_in, re.MULTILINE) for pair in line.split()}
    expect(shared == local, f"client.env and through-egret.conf differ in {sorted(shared ^ local)}")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        expect({name, name.lower()} <= shared, f"{name} is not there in both cases")
    listen = read(DEPLOY / "systemd/egret.yaml")["proxy"]["listen"]
    expect(f"HTTPS_PROXY=http://{listen} " in drop_in, "the drop-in points at another address than egret.yaml's")
    expect(f"IPAddressAllow={listen.rsplit(':', 1)[0]}/32\n" in drop_in, "the drop-in lets out to another address")


CHECKS = {"split": split, "manifests": manifests, "alerts": alerts, "compose": compose, "variables": variables}

CHECKS[sys.argv[1]](*sys.argv[2:])
if faults:
    sys.exit("\n".join(faults))
