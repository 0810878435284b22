module example.com/goforms

go 1.18
