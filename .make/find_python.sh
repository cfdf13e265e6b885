# Prints the Python that `make install` uses, or says in one sentence on stderr why there is none.
#
# $1: the Python the user asked for, may be empty. Else the first candidate that fits.
# A candidate fits when it really runs (a pyenv shim may exist and fail), is new enough and not too
# new, and can make a virtual environment with pip in it (Debian packs that part separately).

allowed="3.11 3.12 3.13 3.14"
found=""    # what was looked at, for the sentence
no_venv=""  # version of a Python that only lacks venv

[ -n "$1" ] || set -- python3 python3.14 python3.13 python3.12 python3.11
for python in "$@"; do
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || version=""
    case " $allowed " in
    *" ${version:-none} "*)
        if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$python"
            exit 0
        fi
        no_venv=${no_venv:-$version}
        found="$found, $python ($version, without venv)"
        ;;
    *) found="$found, $python (${version:-missing or not running})" ;;
    esac
done

if [ -n "$no_venv" ]; then
    echo "Python $no_venv cannot make a virtual environment here (its ensurepip module is missing):" \
        "install the package python$no_venv-venv (Debian, Ubuntu: apt-get install python$no_venv-venv), then run make again." >&2
else
    echo "No suitable Python: found ${found#, }; Cutout needs Python 3.11 to 3.14." \
        "Install one, or name one: make install PYTHON=/path/to/python3.12" >&2
fi
exit 1
