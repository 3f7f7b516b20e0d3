# shellcheck shell=bash
# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The tools that judge every collection, with no ignore entries. Sourced by scripts/test.

peers_work=
passed=0
failed=0

# check NAME COMMAND...: one line when it is content, its words when it is not.
check() {
    local name=$1 log started=$SECONDS
    shift
    log=$(mktemp)
    if (cd "$peers_work/ansible_collections/maqet/qemu" && "$@") >"$log" 2>&1 </dev/null; then
        printf '  ok      %-20s %4d s\n' "$name" $((SECONDS - started))
        passed=$((passed + 1))
    else
        printf '  FAILED  %-20s %4d s\n' "$name" $((SECONDS - started))
        tail -n 80 "$log" | sed 's/^/    /'
        failed=$((failed + 1))
    fi
    rm -f "$log"
}

# ansible-test bootstraps its environments with a script that it downloads from outside the package
# index, unless its cache has one. Every Python here has ensurepip, which does the same.
seed_pip() {
    local version
    version=$(python -c 'import types, ansible_test._internal.python_requirements as r
print(r.get_venv_packages(types.SimpleNamespace(version="3"))["pip"].replace(".", "_"))')
    mkdir -p "$HOME/.ansible/test/cache"
    echo 'import ensurepip; ensurepip.bootstrap(upgrade=True)' \
        >"$HOME/.ansible/test/cache/get_pip_$version.py"
}

sanity() {
    seed_pip
    ansible-test sanity --local --requirements --color no 2>&1 | grep -E '^(ERROR|FATAL|See)|sanity test'
}

lint_scripts() {
    local scripts
    mapfile -t scripts < <(grep -lIs '^#!.*bash' scripts/* .ci/*)
    shellcheck -ax "${scripts[@]}"
}

build_and_import() {
    local target=$peers_work/build
    mkdir -p "$target"
    ansible-galaxy collection build --force --output-path "$target"
    (cd "$target" && GALAXY_IMPORTER_CONFIG=$peers_work/importer.cfg python -m galaxy_importer.main maqet-qemu-*.tar.gz) \
        | tee "$target/log"
    ! grep -E '^(WARNING|ERROR)' "$target/log"
}

# run_peers WORK HOME: WORK has a copy of the checkout as ansible_collections/maqet/qemu.
run_peers() {
    peers_work=$1
    # ansible-test keeps its environments in the home.
    export HOME=$2
    mkdir -p "$HOME"
    printf '[galaxy-importer]\nRUN_ANSIBLE_TEST = False\nCHECK_REQUIRED_TAGS = True\nCHANGELOG = True\n' \
        >"$peers_work/importer.cfg"
    check ruff ruff check --no-cache .
    check mypy env MYPYPATH="$peers_work" mypy --cache-dir "$peers_work/mypy" --config-file pyproject.toml \
        -p ansible_collections.maqet.qemu.plugins.module_utils \
        -p ansible_collections.maqet.qemu.plugins.plugin_utils -p ansible_collections.maqet.qemu.plugins.inventory \
        -p ansible_collections.maqet.qemu.plugins.action -p ansible_collections.maqet.qemu.plugins.connection
    check mypy-eda mypy --cache-dir "$peers_work/mypy" --config-file pyproject.toml extensions/eda/plugins/event_source/events.py
    check shellcheck lint_scripts
    check check-jsonschema check-jsonschema --schemafile docs/schema/machine.json docs/examples/*.yml
    check check-jsonschema-labs check-jsonschema --schemafile docs/schema/lab.json docs/examples/labs/*.yml
    check antsibull-changelog antsibull-changelog lint
    check antsibull-docs antsibull-docs lint-collection-docs --plugin-docs .
    check ansible-lint ansible-lint --offline --nocolor --profile production
    check galaxy-importer build_and_import
    check ansible-test sanity
    printf 'peers: %d passed, %d failed\n' "$passed" "$failed"
    ((failed == 0))
}
