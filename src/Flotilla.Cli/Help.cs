using System.CommandLine;
using System.CommandLine.Help;
using Flotilla.Cli.Commands;

namespace Flotilla.Cli;

/// <summary>Help texts: the parser's own, and examples below.</summary>
internal static class Help
{
    private const string Notes =
        """
        Settings: every flag --some-thing can also be given as FLOTILLA_SOME_THING in the environment
        and as "some-thing" in the JSON file that --config names. A flag beats the environment, the
        environment beats the file. What follows `--` is taken as it stands: `flotilla put k -- -h`.

        Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 version mismatch, 5 unavailable
        (nothing was written), 6 outcome unknown (a write may or may not have happened).
        """;

    /// <summary>Writes the help of the command that was named, or of all.</summary>
    public static async Task WriteAsync(ParseResult parse, IReadOnlyList<CliCommand> commands, TextWriter to)
    {
        using var text = new StringWriter();
        parse.InvocationConfiguration.Output = text;
        _ = new HelpAction { MaxWidth = 110 }.Invoke(parse);
        await to.WriteLineAsync(text.ToString().TrimEnd());
        var command = parse.CommandResult.Command as CliCommand;
        var examples = command?.Examples ?? ["flotilla dev", "starts three nodes and a router on this machine", "flotilla put hello world", "stores a value", "flotilla get hello", "reads it"];
        await to.WriteLineAsync();
        await to.WriteLineAsync("Examples:");
        var width = examples.Where((_, i) => i % 2 == 0).Max(e => e.Length);
        for (var i = 0; i + 1 < examples.Count; i += 2)
        {
            await to.WriteLineAsync(width > 60 ? $"  {examples[i]}\n      {examples[i + 1]}" : $"  {examples[i].PadRight(width)}   {examples[i + 1]}");
        }

        if (command is null)
        {
            await to.WriteLineAsync();
            await to.WriteLineAsync(Notes);
        }
    }
}
