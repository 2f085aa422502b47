// Reads a dashboard on stdin by Grafana's own schema: its panels and queries hold no field that is not known and miss none that is needed.
package main

import (
	"io"
	"log"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	plugins.RegisterDefaultPlugins()
	text, err := io.ReadAll(os.Stdin)
	check(err)
	var board dashboard.Dashboard
	check(board.UnmarshalJSONStrict(text))
	check(board.Validate())
}

// Where there are no faults the library hands back an empty list of them, which is not nil.
func check(err error) {
	if err != nil && err.Error() != "" {
		log.Fatal(err)
	}
}
