using System.Text;
using Flotilla.Node;

namespace Flotilla.Cli.Tests.Fakes;

/// <summary>How a command line ended.</summary>
public sealed record CliResult(int Exit, string Out, string Err, NodeOptions? Node = null, RouterOptions? Router = null);

/// <summary>Runs command lines in this process, with streams and an environment of their own.</summary>
public static class Terminal
{
    public static Task<CliResult> RunAsync(params string[] arguments) => RunUntilAsync(arguments, null, null, TestContext.Current.CancellationToken);

    public static Task<CliResult> RunAsync(string[] arguments, Env? env, string? input = null) => RunUntilAsync(arguments, env, input, TestContext.Current.CancellationToken);

    public static async Task<CliResult> RunUntilAsync(string[] arguments, Env? env, string? input, CancellationToken stop)
    {
        using var stdout = new MemoryStream();
        using var stderr = new StringWriter();
        var runner = new Recorder();
        var exit = await Application.RunAsync(arguments, new Shell
        {
            Runner = runner,
            StdIn = () => new MemoryStream(Encoding.UTF8.GetBytes(input ?? "")),
            StdOut = stdout,
            Err = TextWriter.Synchronized(stderr),
            Env = name => env?.GetValueOrDefault(name),
            Stop = stop,
        });
        return new CliResult(exit, Encoding.UTF8.GetString(stdout.ToArray()), stderr.ToString(), runner.Node, runner.Router);
    }

    /// <summary>A directory of the test's own.</summary>
    public static string TempDir() => Directory.CreateTempSubdirectory("flotilla-cli-").FullName;

    private sealed class Recorder : INodeRunner
    {
        public NodeOptions? Node { get; private set; }

        public RouterOptions? Router { get; private set; }

        public Task RunNodeAsync(NodeOptions options, TextWriter log, CancellationToken stop)
        {
            Node = options;
            return options.DataDir == "fails" ? throw new NodeFailedException("the data directory is another node's") : Task.CompletedTask;
        }

        public Task RunRouterAsync(RouterOptions options, TextWriter log, CancellationToken stop)
        {
            Router = options;
            return Task.CompletedTask;
        }
    }
}

/// <summary>Environment variables.</summary>
public sealed class Env() : Dictionary<string, string>(StringComparer.Ordinal);
