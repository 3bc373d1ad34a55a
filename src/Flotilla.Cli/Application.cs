using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;
using Flotilla.Cli.Commands;
using Flotilla.Cli.Flags;
using Flotilla.Node;

namespace Flotilla.Cli;

/// <summary>Reads the command line and runs the command it names.</summary>
internal static class Application
{
    private static readonly ParserConfiguration Parsing = new()
    {
        // `put k @x` stores "@x", and `-5` is a value, not a bundle of flags.
        ResponseFileTokenReplacer = null,
        EnablePosixBundling = false,
    };

    /// <summary>Runs a command line to its end. Never throws for anything that a user can cause.</summary>
    public static async Task<int> RunAsync(IReadOnlyList<string> arguments, Shell shell)
    {
        try
        {
            var exit = await DispatchAsync(arguments, shell);
            await shell.Out.FlushAsync(CancellationToken.None);
            return exit;
        }
        catch (UsageException problem)
        {
            await shell.Err.WriteLineAsync($"flotilla: {problem.Message}");
            return ExitCode.Usage;
        }
        catch (NodeFailedException problem)
        {
            await shell.Err.WriteLineAsync($"flotilla: {problem.Message}");
            return ExitCode.Failed;
        }
        catch (OperationCanceledException) when (shell.Stop.IsCancellationRequested)
        {
            await shell.Err.WriteLineAsync("interrupted");
            return ExitCode.Interrupted;
        }
        catch (IOException problem) when (IsBrokenPipe(problem))
        {
            // Whoever read our output has seen enough (`flotilla scan | head`).
            return ExitCode.Done;
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            await shell.Err.WriteLineAsync($"flotilla: {problem.Message}");
            return ExitCode.Failed;
        }
    }

    /// <summary>All commands, in the order of help.</summary>
    public static RootCommand MakeRoot()
    {
        var root = new RootCommand("Flotilla: a sharded, strongly consistent key-value store.");
        root.Options.Clear();
        root.Directives.Clear();

        // Only these two spellings: `/h` and `-?` are good keys and values.
        root.Add(new HelpOption("--help", "-h") { Description = "Shows help", Recursive = true });
        root.Add(new VersionOption("--version") { Description = "Shows the version" });
        var config = CommonFlags.Config.MakeOption();
        config.Recursive = true;
        root.Add(config);
        foreach (var command in CommandList.Make())
        {
            root.Add(command);
        }

        return root;
    }

    private static async Task<int> DispatchAsync(IReadOnlyList<string> arguments, Shell shell)
    {
        var root = MakeRoot();
        var parse = CommandLineParser.Parse(root, arguments, Parsing);
        var commands = root.Subcommands.OfType<CliCommand>().ToList();
        switch (parse.Action)
        {
            case HelpAction:
                await Help.WriteAsync(parse, commands, shell.Out);
                return ExitCode.Done;
            case not null and not ParseErrorAction:
                await shell.Out.WriteLineAsync($"flotilla {Version}");
                return ExitCode.Done;
            default:
                break;
        }

        if (parse.Errors.Count > 0 || parse.CommandResult.Command is not CliCommand command)
        {
            return await RefuseAsync(parse, root, arguments, shell);
        }

        var settings = commands.SelectMany(c => c.Flags).Append(CommonFlags.Config).Select(f => f.FileName).Distinct(StringComparer.Ordinal);
        var invocation = new Invocation(parse, shell, arguments, settings);
        invocation.Check(command.Flags);
        return await command.RunAsync(invocation);
    }

    /// <summary>The version of this program.</summary>
    private static string Version => typeof(Application).Assembly.GetName().Version?.ToString(3) ?? "0.0.0";

    private static async Task<int> RefuseAsync(ParseResult parse, RootCommand root, IReadOnlyList<string> arguments, Shell shell)
    {
        var command = parse.CommandResult.Command;
        if (ReferenceEquals(command, root))
        {
            if (arguments.Count == 0)
            {
                await Help.WriteAsync(parse, [.. root.Subcommands.OfType<CliCommand>()], shell.Err);
                return ExitCode.Usage;
            }

            var word = parse.UnmatchedTokens.FirstOrDefault(t => !t.StartsWith('-')) ?? (parse.UnmatchedTokens.Count > 0 ? parse.UnmatchedTokens[0] : null);
            await shell.Err.WriteLineAsync(word is null
                ? "flotilla: a command is needed"
                : $"flotilla: there is no command '{word}'{Suggestions.Clause(word, root.Subcommands.Select(c => c.Name))}");
            await shell.Err.WriteLineAsync("Try 'flotilla --help'.");
            return ExitCode.Usage;
        }

        var flags = command.Options.Concat(root.Options.Where(o => o.Recursive)).Select(o => o.Name);
        if (parse.UnmatchedTokens.FirstOrDefault(t => t.StartsWith('-')) is { } unknown)
        {
            // Whatever else is wrong follows from it.
            await shell.Err.WriteLineAsync($"flotilla {command.Name}: there is no flag '{unknown}'{Suggestions.Clause(unknown.Split('=', ':')[0], flags)}");
        }
        else
        {
            foreach (var error in parse.Errors.Select(e => e.Message).Distinct(StringComparer.Ordinal))
            {
                await shell.Err.WriteLineAsync($"flotilla {command.Name}: {error}");
            }
        }

        await shell.Err.WriteLineAsync($"Try 'flotilla {command.Name} --help'.");
        return ExitCode.Usage;
    }

    private static bool IsBrokenPipe(IOException problem) => problem.HResult == 32 || problem.InnerException is System.Net.Sockets.SocketException { ErrorCode: 32 }
        || problem.Message.Contains("Broken pipe", StringComparison.Ordinal);
}
