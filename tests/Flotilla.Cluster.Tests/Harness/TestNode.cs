using System.Diagnostics;
using System.Text;

namespace Flotilla.Cluster.Tests.Harness;

/// <summary>One node of a test cluster: its addresses, its process if it runs, and what it said.</summary>
internal sealed class TestNode(string id, int httpPort, int rpcPort)
{
    private readonly StringBuilder _said = new();

    public string Id { get; } = id;

    public int HttpPort { get; } = httpPort;

    public int RpcPort { get; } = rpcPort;

    public Process? Process { get; set; }

    public bool IsRunning => Process is { HasExited: false };

    public string Said
    {
        get
        {
            lock (_said)
            {
                return _said.ToString();
            }
        }
    }

    public void Say(string? line)
    {
        lock (_said)
        {
            _said.Append(line).Append('\n');
        }
    }

    /// <summary>kill -9, and waits until the process is gone.</summary>
    public async Task KillAsync()
    {
        if (Process is { HasExited: false } process)
        {
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync();
        }
    }

    public void Pause() => Shell.Signal(Process!, "STOP");

    public void Continue() => Shell.Signal(Process!, "CONT");
}
