using System.Diagnostics;
using System.Runtime.Versioning;
using Flotilla.Cli.Tests.Fakes;

namespace Flotilla.Cli.Tests.Launcher;

/// <summary>
/// The <c>./flotilla</c> script in a work tree of the test's own, with a <c>dotnet</c> that only writes down that it was
/// called: builds once, under a lock that does not leak, and becomes the program.
/// </summary>
[UnsupportedOSPlatform("windows")]
public sealed class Launching
{
    private readonly string _root = Terminal.TempDir();
    private readonly string _bin;

    public Launching()
    {
        _bin = Path.Combine(_root, "path");
        Directory.CreateDirectory(_bin);
        Directory.CreateDirectory(Path.Combine(_root, "tree/src/Flotilla.Cli/obj"));
        foreach (var file in new[] { "Directory.Build.props", "Directory.Packages.props", "global.json", "src/Flotilla.Cli/Program.cs" })
        {
            File.WriteAllText(Path.Combine(_root, "tree", file), "x");
        }

        File.Copy(Path.Combine(Repository.Root, "flotilla"), Path.Combine(_root, "tree/flotilla"));
        WriteScript(Path.Combine(_bin, "dotnet"), """
            #!/usr/bin/env bash
            [ ! -e /proc/self/fd/9 ] || echo "leaked lock" >> "$LOG"
            echo "build in $PWD" >> "$LOG"
            [ ! -e broken ] || { echo "Program.cs(1,1): error CS1002: ; expected"; exit 1; }
            mkdir -p src/Flotilla.Cli/bin/Release/net10.0
            cat > src/Flotilla.Cli/bin/Release/net10.0/flotilla.part <<'PROGRAM'
            #!/usr/bin/env bash
            [ ! -e /proc/self/fd/9 ] || echo "leaked lock" >> "$LOG"
            echo "pid $$"
            for a in "$@"; do echo "<$a>"; done
            exit 7
            PROGRAM
            chmod +x src/Flotilla.Cli/bin/Release/net10.0/flotilla.part
            mv src/Flotilla.Cli/bin/Release/net10.0/flotilla.part src/Flotilla.Cli/bin/Release/net10.0/flotilla
            """);
    }

    private string Log => Path.Combine(_root, "log");

    private string Tree => Path.Combine(_root, "tree");

    [Fact]
    public async Task It_builds_once_and_passes_everything_on_through_a_symlink_and_from_anywhere()
    {
        var link = Path.Combine(_root, "link");
        File.CreateSymbolicLink(link, Path.Combine(Tree, "flotilla"));
        var first = await RunAsync(link, "/", "put", "a key", "-5", "");
        Assert.Equal(7, first.Exit);
        Assert.Equal(["<put>", "<a key>", "<-5>", "<>"], first.Lines[1..]);
        var second = await RunAsync(Path.Combine(Tree, "flotilla"), _root, "x");
        Assert.Equal(["<x>"], second.Lines[1..]);
        Assert.Equal($"pid {second.Pid}", second.Lines[0]);
        Assert.Equal([$"build in {Tree}"], await BuildsAsync());
    }

    [Fact]
    public async Task It_builds_again_when_a_source_has_changed_or_is_gone_but_not_for_what_a_build_makes()
    {
        var script = Path.Combine(Tree, "flotilla");
        _ = await RunAsync(script, _root);
        await File.WriteAllTextAsync(Path.Combine(Tree, "src/Flotilla.Cli/obj/made.cs"), "y", TestContext.Current.CancellationToken);
        _ = await RunAsync(script, _root);
        Assert.Single(await BuildsAsync());
        await File.WriteAllTextAsync(Path.Combine(Tree, "src/Flotilla.Cli/More.cs"), "y", TestContext.Current.CancellationToken);
        _ = await RunAsync(script, _root);
        Assert.Equal(2, (await BuildsAsync()).Length);
        File.Delete(Path.Combine(Tree, "src/Flotilla.Cli/More.cs"));
        _ = await RunAsync(script, _root);
        Assert.Equal(3, (await BuildsAsync()).Length);
    }

    [Fact]
    public async Task Several_at_once_build_once()
    {
        var runs = await Task.WhenAll(Enumerable.Range(0, 6).Select(i => RunAsync(Path.Combine(Tree, "flotilla"), _root, $"{i}")));
        Assert.All(runs, r => Assert.Equal(7, r.Exit));
        Assert.Single(await BuildsAsync());
    }

    [Fact]
    public async Task A_build_that_fails_shows_the_errors_and_is_tried_again()
    {
        await File.WriteAllTextAsync(Path.Combine(Tree, "broken"), "", TestContext.Current.CancellationToken);
        var failed = await RunAsync(Path.Combine(Tree, "flotilla"), _root);
        Assert.Equal((1, 0), (failed.Exit, failed.Lines.Length));
        Assert.Contains("error CS1002", failed.Err, StringComparison.Ordinal);
        File.Delete(Path.Combine(Tree, "broken"));
        Assert.Equal(7, (await RunAsync(Path.Combine(Tree, "flotilla"), _root)).Exit);
    }

    [Fact]
    public async Task Without_the_sdk_it_says_what_to_install()
    {
        File.Delete(Path.Combine(_bin, "dotnet"));
        foreach (var tool in new[] { "bash", "readlink", "find", "sort", "cksum", "env" })
        {
            File.CreateSymbolicLink(Path.Combine(_bin, tool), await WhichAsync(tool));
        }

        var result = await RunWithPathAsync(_bin, Path.Combine(Tree, "flotilla"), _root);
        Assert.Equal(1, result.Exit);
        Assert.Contains("the .NET 10 SDK is needed", result.Err, StringComparison.Ordinal);
    }

    private static void WriteScript(string path, string text)
    {
        File.WriteAllText(path, text);
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    private static async Task<string> WhichAsync(string tool)
    {
        using var process = Process.Start(new ProcessStartInfo("/bin/sh", ["-c", $"command -v {tool}"]) { RedirectStandardOutput = true, UseShellExecute = false })!;
        return (await process.StandardOutput.ReadToEndAsync()).Trim();
    }

    private Task<(int Exit, string[] Lines, string Err, int Pid)> RunAsync(string script, string folder, params string[] arguments) =>
        RunWithPathAsync($"{_bin}:{Environment.GetEnvironmentVariable("PATH")}", script, folder, arguments);

    private async Task<(int Exit, string[] Lines, string Err, int Pid)> RunWithPathAsync(string path, string script, string folder, params string[] arguments)
    {
        var start = new ProcessStartInfo(script, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false, WorkingDirectory = folder };
        start.Environment["PATH"] = path;
        start.Environment["LOG"] = Log;
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, (await output).Split('\n', StringSplitOptions.RemoveEmptyEntries), await error, process.Id);
    }

    private Task<string[]> BuildsAsync() => File.ReadAllLinesAsync(Log);
}
