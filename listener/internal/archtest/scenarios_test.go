package archtest

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	scenarioRow  = regexp.MustCompile(`(?m)^\| (\d+b?|P\d+) \| .* \|(.*)\|$`)
	quotedName   = regexp.MustCompile("`([^`]+)`")
	scenarioTest = regexp.MustCompile(`^(?:(?:Test)?Scenario)?(\d+b?)[_A-Z]`)
)

// TestScenarios keeps the table in docs/scenarios.md true: each scenario has a test
// whose name begins with its number, and each test that is named is in its file.
func TestScenarios(t *testing.T) {
	files := os.DirFS(root)
	table, err := fs.ReadFile(files, "docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for n := 1; n <= 43; n++ {
		if want = append(want, strconv.Itoa(n)); n == 4 {
			want = append(want, "4b")
		}
	}
	for n := 1; n <= 11; n++ {
		want = append(want, "P"+strconv.Itoa(n))
	}
	for _, row := range scenarioRow.FindAllStringSubmatch(string(table), -1) {
		number := row[1]
		got = append(got, number)
		carried := false
		file, code := "", ""
		for _, m := range quotedName.FindAllStringSubmatch(row[2], -1) {
			name := m[1]
			if strings.HasSuffix(name, ".go") {
				text, err := fs.ReadFile(files, path.Join("listener", name))
				if err != nil {
					t.Errorf("scenario %s: %v", number, err)
				}
				file, code = name, string(text)
				continue
			}
			if !strings.Contains(code, "func "+name+"(") && !strings.Contains(code, strconv.Quote(name)) {
				t.Errorf("scenario %s: %s has no test %s", number, file, name)
			}
			if strings.HasPrefix(number, "P") {
				carried = carried || strings.HasPrefix(name, "TestPythonLDAP")
			} else if m := scenarioTest.FindStringSubmatch(name); m != nil {
				carried = carried || m[1] == number
			}
		}
		if !carried {
			t.Errorf("scenario %s has no test whose name begins with it", number)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the table has the scenarios %q, want %q", got, want)
	}
}
