using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text;

namespace Flotilla.Acceptance.Tests;

/// <summary>
/// The scripts of <c>tests/acceptance</c>: the commands that users of earlier programs know, as their READMEs have them. In a
/// suite of their own, one after the other, since each builds a checkout of its own.
/// </summary>
public sealed class ScriptTests(ITestOutputHelper output)
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(8);

    private static string Folder { get; } = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(Here())!, "..", "acceptance"));

    public static TheoryData<string> Scripts => [.. Directory.GetFiles(Folder, "*.sh").Select(path => Path.GetFileName(path)!).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Scripts))]
    public async Task Every_command_of_the_readme_works_as_written(string script)
    {
        using var process = Process.Start(new ProcessStartInfo("bash", [Path.Combine(Folder, script)]) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true, UseShellExecute = false })!;
        var said = new StringBuilder();
        process.OutputDataReceived += (_, line) => Hear(said, line.Data);
        process.ErrorDataReceived += (_, line) => Hear(said, line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        process.StandardInput.Close();
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        patience.CancelAfter(Patience);
        try
        {
            await process.WaitForExitAsync(patience.Token);
        }
        catch (OperationCanceledException e)
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"{script} did not end within {Patience}; it said:\n{said}", e);
        }

        output.WriteLine(said.ToString());
        Assert.True(process.ExitCode == 0, said.ToString());
        Assert.EndsWith("accepted\n", said.ToString(), StringComparison.Ordinal);
    }

    private static void Hear(StringBuilder into, string? line)
    {
        if (line is not null)
        {
            lock (into)
            {
                into.Append(line).Append('\n');
            }
        }
    }

    private static string Here([CallerFilePath] string here = "") => here;
}
