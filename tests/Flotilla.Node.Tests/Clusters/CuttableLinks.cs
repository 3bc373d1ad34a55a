using System.Net;
using Flotilla.Raft;

namespace Flotilla.Node.Tests.Clusters;

/// <summary>Stands between every two nodes of a cluster, and cuts the link between two whenever a test says so, until it is mended.</summary>
internal sealed class CuttableLinks : IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<(NodeId From, NodeId To), CuttingProxy> _proxies = [];
    private readonly HashSet<(NodeId From, NodeId To)> _cut = [];

    /// <summary>A node whose connections to other nodes go through here.</summary>
    public NodeOptions Through(NodeOptions options) => options with { Way = (peer, address) => Way(options.NodeId, peer, address) };

    /// <summary>Cuts the link between two nodes, in both directions.</summary>
    public void Cut(NodeId one, NodeId other) => Set(one, other, isCut: true);

    /// <summary>Lets them connect again.</summary>
    public void Mend(NodeId one, NodeId other) => Set(one, other, isCut: false);

    public async ValueTask DisposeAsync()
    {
        foreach (var proxy in _proxies.Values)
        {
            await proxy.DisposeAsync();
        }
    }

    private string Way(NodeId from, NodeId to, string address)
    {
        lock (_gate)
        {
            if (!_proxies.TryGetValue((from, to), out var proxy))
            {
                _proxies.Add((from, to), proxy = new CuttingProxy(IPEndPoint.Parse(address)) { IsClosed = _cut.Contains((from, to)) });
            }

            return proxy.Address;
        }
    }

    private void Set(NodeId one, NodeId other, bool isCut)
    {
        lock (_gate)
        {
            foreach (var link in new[] { (one, other), (other, one) })
            {
                if (isCut)
                {
                    _cut.Add(link);
                }
                else
                {
                    _cut.Remove(link);
                }

                if (_proxies.TryGetValue(link, out var proxy))
                {
                    proxy.IsClosed = isCut;
                    if (isCut)
                    {
                        proxy.Cut();
                    }
                }
            }
        }
    }
}
