module order-management/lab/tools/pause

go 1.26.0

tool order-management/lab/tools/pause
