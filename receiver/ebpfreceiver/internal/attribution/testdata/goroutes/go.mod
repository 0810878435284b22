module example.com/goroutes

go 1.24
