using Spectre.Console;

namespace Flotilla.Cli.Output;

/// <summary>Rows with a head: a table on a terminal, lines with tabs elsewhere, so that <c>cut</c> and <c>awk</c> are enough to read them.</summary>
internal sealed class Grid(string title, params string[] columns)
{
    private readonly List<string[]> _rows = [];

    /// <summary>Adds a row.</summary>
    public void Add(params string[] cells) => _rows.Add(cells);

    /// <summary>Writes it in the form that suits.</summary>
    public void Write(Shell shell)
    {
        if (shell.OutIsTerminal)
        {
            AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(shell.Out) }).Write(ToTable());
            return;
        }

        shell.Out.WriteLine("#" + string.Join('\t', columns));
        foreach (var row in _rows)
        {
            shell.Out.WriteLine(string.Join('\t', row.Select(cell => Printable.Field(cell, terminal: false))));
        }
    }

    /// <summary>As a table for a terminal.</summary>
    public Table ToTable()
    {
        var table = new Table { Title = new TableTitle(Markup.Escape(title)), Border = TableBorder.Rounded };
        foreach (var column in columns)
        {
            table.AddColumn(new TableColumn(new Text(column, new Style(decoration: Decoration.Bold))));
        }

        foreach (var row in _rows)
        {
            table.AddRow(row.Select(cell => new Text(Printable.Field(cell, terminal: true))));
        }

        return table;
    }
}
