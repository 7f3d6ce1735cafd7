module octavo.local/cluster/pause

go 1.21
