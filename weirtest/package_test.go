package weirtest_test

import "testing"

func TestExampleOfThePackage(t *testing.T) { slowClientGetsTheNewestPrice(t) }
