# Adds up what gcov prints for every object, one line "count:number:text" for a line of a source:
# the share of the lines of src_c that ran, and those that did not. Needs `least`, in percent.
$2 + 0 == 0 && $3 == "Source" {
    file = $4
    sub(/.*src_c\//, "", file)
    ours = $4 ~ /src_c\//
    next
}
!ours || $1 ~ /^ *-$/ || $2 + 0 == 0 { next }
{
    line = file ":" $2 + 0
    if (!(line in ran)) {
        ran[line] = 0
        order[++lines] = line
        text[line] = $0
        sub(/^[^:]*:[^:]*:/, "", text[line])
    }
    if ($1 !~ /[#=]/) ran[line] = 1
}
END {
    for (i = 1; i <= lines; i++) {
        if (ran[order[i]]) covered++
        else print "not run: " order[i] ": " text[order[i]]
    }
    if (lines == 0) exit 1
    share = 100 * covered / lines
    printf "coverage of the core: %.1f %% of %d lines\n", share, lines
    if (share < least) {
        print "run.sh: less than " least " %"
        exit 1
    }
}
