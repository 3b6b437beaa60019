# Completion of the command line in bash, written from its parser (cli/tests/test_docs.py).
_daybreak() {
    local word=${COMP_WORDS[COMP_CWORD]} path=daybreak choices i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$path ${COMP_WORDS[i]}" in
            "daybreak bootstrap" | "daybreak status" | "daybreak dashboard" | "daybreak logs" | "daybreak env" | "daybreak openrc" | "daybreak demo" | "daybreak scale" | "daybreak plan" | "daybreak upgrade" | "daybreak images" | "daybreak images build" | "daybreak images list" | "daybreak images export" | "daybreak images push" | "daybreak node" | "daybreak destroy") path="$path ${COMP_WORDS[i]}" ;;
        esac
    done
    case ${COMP_WORDS[COMP_CWORD - 1]} in
        --bundle | --ca-file | --from | --image | --overlay | --size)
            compopt -o default
            return
            ;;
    esac
    case $path in
        "daybreak") choices="--help --version bootstrap status dashboard logs env openrc demo scale plan upgrade images node destroy" ;;
        "daybreak bootstrap") choices="--help --instance --bundle --size --provider --timeout --dry-run --format --from --overlay --model --controller --juju --cloud --metallb --microk8s-channel --juju-channel" ;;
        "daybreak status") choices="--help --instance --format" ;;
        "daybreak dashboard") choices="--help --instance --show-password --format" ;;
        "daybreak logs") choices="--help --instance --follow --lines --format" ;;
        "daybreak env") choices="--help --instance" ;;
        "daybreak openrc") choices="--help --instance --format" ;;
        "daybreak demo") choices="--help --instance --image --user --ram --cidr --gateway --pool --external-network --physical-network --clean-up --timeout --format" ;;
        "daybreak scale") choices="--help --instance --timeout --format" ;;
        "daybreak plan") choices="--help --instance upgrade --to --format" ;;
        "daybreak upgrade") choices="--help --instance --to --dry-run --timeout --format" ;;
        "daybreak images") choices="--help --instance build list export push" ;;
        "daybreak images build") choices="--help" ;;
        "daybreak images list") choices="--help" ;;
        "daybreak images export") choices="--help --bundle" ;;
        "daybreak images push") choices="--help --overlay --from --ca-file --plain-http --bundle --format" ;;
        "daybreak node") choices="--help --instance list add remove --format --worker --lose-volumes --gone --timeout" ;;
        "daybreak destroy") choices="--help --instance --yes --purge --format" ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
}
complete -F _daybreak daybreak
